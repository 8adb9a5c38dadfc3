"""The pages of a site: which there are, their images, and the files of those."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from captioner.alt.html import html_images
from captioner.alt.images import NOWHERE, ImageTag, with_alternatives
from captioner.alt.markdown import markdown_images
from captioner.errors import OptionError
from captioner.files import rewriting

HTML_SUFFIXES = (".html", ".htm", ".xhtml")
MARKDOWN_SUFFIXES = (".md", ".markdown")
SUFFIXES = HTML_SUFFIXES + MARKDOWN_SUFFIXES
_LINE = re.compile("[^\n]*\n|[^\n]+")
SKIPPED = ("node_modules",)


@dataclass(frozen=True)
class Page:
    """A file with images.

    Attributes:
        path: Where it is.
        root: What addresses that begin with a slash are relative to.
        text: What is in it; bytes that are no UTF-8 as surrogates, so that nothing is lost.
        images: Its images, in their order.
    """

    path: Path
    root: Path
    text: str
    images: Sequence[ImageTag]

    @classmethod
    def read(cls, path: Path, root: Path) -> "Page":
        """Read a file.

        Raises:
            ConfigError: If it is Markdown, and markdown-it is not installed.
            OSError: If it cannot be read.
        """
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        find = html_images if path.suffix.lower() in HTML_SUFFIXES else markdown_images
        return cls(path, root, text, sorted(find(text), key=lambda image: image.line))

    def file(self, image: ImageTag) -> Path:
        """Return the file of an image that is not remote."""
        path = unquote(urlsplit(image.source.strip()).path)
        return self.root / path.lstrip("/") if path.startswith("/") else self.path.parent / path

    def with_alternatives(self, texts: Mapping[Path, str]) -> str:
        """Return the text with alternatives for the images that want one, by their files."""
        wanting = [
            image for image in self.images if image.is_wanting and not image.is_remote and image.place != NOWHERE
        ]
        return with_alternatives(
            self.text, [(image, texts[file]) for image in wanting if (file := self.file(image)) in texts]
        )

    def diff(self, new: str) -> Iterator[str]:
        """Yield the lines of a unified diff between the text and another."""
        name = self.path.as_posix().lstrip("/")
        old_lines, new_lines = _LINE.findall(self.text), _LINE.findall(new)
        for line in difflib.unified_diff(old_lines, new_lines, f"a/{name}", f"b/{name}"):
            if line.endswith("\n"):
                yield line[:-1]
            else:
                yield from (line, "\\ No newline at end of file")

    def write(self, new: str) -> None:
        """Put another text in the file's place, once it is on the disk.

        Raises:
            OSError: If it cannot be written.
        """
        with rewriting(self.path) as partial:
            partial.write_bytes(new.encode("utf-8", "surrogateescape"))


def find_pages(arguments: Sequence[str], root: Path | None = None) -> Iterator[tuple[Path, Path]]:
    """Yield the HTML and Markdown files that arguments name or that are in folders, with their roots.

    Raises:
        OptionError: If there is no such file, or it is of another kind.
    """
    for text in arguments:
        path = Path(text)
        if path.is_dir():
            yield from ((file, root or path) for file in _pages_of(path))
        elif not path.is_file():
            raise OptionError(f"{text}: no such file or folder")
        elif path.suffix.lower() not in SUFFIXES:
            raise OptionError(f"{text}: it must end in {', '.join(SUFFIXES)}")
        else:
            yield path, root or path.parent


def _pages_of(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        yield from (Path(here, name) for name in sorted(names) if Path(name).suffix.lower() in SUFFIXES)
