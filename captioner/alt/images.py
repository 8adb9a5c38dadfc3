"""Images in a text, and where an alternative text for each would stand."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

HTML, MARKDOWN = "html", "markdown"
NOWHERE = -1  # the place of an image of which the parser could not say where it stands
_MARKUP = re.compile(r"([\\`*_\[\]<>&!|~])")


@dataclass(frozen=True)
class ImageTag:
    """An image in a text.

    Attributes:
        source: Where its file is, as the text says it, decoded.
        line: On which line it begins, from 1.
        place: Where its alternative text would be put; characters from ``place`` to ``end`` give way to it.
        end: See ``place``.
        alt: Its alternative text; ``None`` if it lacks one.
        decorative: Whether it is said to be mere decoration.
        language: In which it is written: html or markdown.
    """

    source: str
    line: int
    place: int
    end: int
    alt: str | None
    decorative: bool
    language: str

    @property
    def is_wanting(self) -> bool:
        """Whether it lacks an alternative text and is no decoration."""
        return self.alt is None and not self.decorative

    @property
    def is_remote(self) -> bool:
        """Whether it is no file of the site: an address, or data in the text itself."""
        return bool(re.match(r"\s*(?:[a-zA-Z][a-zA-Z0-9+.-]+:|//)", self.source))

    def written(self, text: str) -> str:
        """Return what is put in its place to give it an alternative text."""
        plain = " ".join(text.split())
        return f' alt="{escape(plain)}"' if self.language == HTML else _MARKUP.sub(r"\\\1", plain)


def with_alternatives(text: str, found: Iterable[tuple[ImageTag, str]]) -> str:
    """Return a text in which images have alternative texts; nothing else of it changes."""
    ascii_only = any("\udc80" <= character <= "\udcff" for character in text)  # it is in an unknown encoding
    for image, alternative in sorted(found, key=lambda one: one[0].place, reverse=True):
        new = image.written(alternative)
        if ascii_only:
            new = new.encode("ascii", "xmlcharrefreplace").decode()
        text = text[: image.place] + new + text[image.end :]
    return text
