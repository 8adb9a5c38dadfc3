"""Photos on the command line: which files are meant, reading them, and the pictures that are drawn of them."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from PIL import Image
from tqdm import tqdm

from captioner.commands.output import complain, shown
from captioner.errors import CaptionerError, ImageError, OptionError, UnsupportedImageError
from captioner.images import DEFAULT_LIMITS, SUFFIXES, DecodedPhoto, Read, decode_photo, read_image

BATCH_SIZE = 8
SIDECAR = ".xmp"  # how the names of files beside photos end that hold their metadata
HEAD_BYTES = 1024  # of a file, which show whether it is a picture
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Source:
    """Where a photo is read from.

    Attributes:
        text: What it is called in the output.
        path: Its file; ``None`` is standard input.
        name: What drawings of it are called in a folder, without .png.
    """

    text: str
    path: Path | None
    name: str

    @classmethod
    def named(cls, text: str) -> "Source":
        """Return what an argument of the command line names."""
        if text == STANDARD_INPUT:
            return cls(text, None, "stdin")
        return cls(text, Path(text), Path(text).name)

    def __str__(self) -> str:
        return self.text

    @property
    def file(self) -> Path:
        """Its file.

        Raises:
            OptionError: If it is standard input.
        """
        if self.path is None:
            raise OptionError("- is standard input; name a file")
        return self.path


@dataclass(frozen=True)
class Photo:
    """A photo that was read.

    Attributes:
        source: Where it is from.
        data: The bytes of its file.
        decoded: What was read of it.
    """

    source: Source
    data: bytes
    decoded: DecodedPhoto

    @property
    def image(self) -> Image.Image:
        """The upright picture, RGB, perhaps smaller than the photo."""
        return self.decoded.image

    def in_full(self) -> Image.Image:
        """Return the upright picture in full, to draw on."""
        return read_image(self.data)


def find_photos(arguments: Iterable[str], *, recursive: bool = False) -> tuple[list[Source], bool]:
    """Find the photos that arguments name, folders replaced by their images; say what of a folder is skipped.

    Args:
        arguments: Files, folders, and ``-`` for standard input.
        recursive: Whether images in subfolders belong to a folder, too.

    Returns:
        The photos, each once, and whether every folder could be read and has some.
    """
    found: dict[Path | None, Source] = {}
    complete = True
    for text in arguments:
        named = Source.named(text)
        if named.path is None or not named.path.is_dir():
            found.setdefault(named.path, named)
            continue
        sources, readable = _photos_of(named.path, recursive=recursive)
        complete = complete and readable and bool(sources)
        for source in sources:
            found.setdefault(source.path, source)
    return list(found.values()), complete


def _photos_of(folder: Path, *, recursive: bool) -> tuple[list[Source], bool]:
    """Return the photos of a folder, and whether all of it could be looked into."""
    photos: list[Source] = []
    skipped, closed, unreadable = 0, 0, list[OSError]()
    for here, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if not recursive:
            closed = len(folders)
            folders.clear()
        files = [Path(here, name) for name in sorted(names) if not name.startswith(".")]
        for path in (path for path in files if path.is_file()):
            if _is_photo(path):
                photos.append(Source(str(path), path, str(path.relative_to(folder))))
            elif path.suffix.lower() != SIDECAR:
                skipped += 1
    for error in unreadable:
        complain(f"{shown(error.filename)}: {error.strerror}")
    _tell_of_skipped(folder, empty=not photos, skipped=skipped, closed=closed)
    return photos, not unreadable


def _is_photo(path: Path) -> bool:
    """Tell by its name or its first bytes whether a file is worth an attempt to read it as a photo."""
    if path.suffix.lower() in (*SUFFIXES, SIDECAR):
        return path.suffix.lower() != SIDECAR
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        return bool(head) and bool(read_image(head))
    except UnsupportedImageError:
        return False
    except (ImageError, OSError):  # a photo of which the rest is missing here, or a file whose error is to be told
        return True


def _tell_of_skipped(folder: Path, *, empty: bool, skipped: int, closed: int) -> None:
    parts = ["no images in this folder"] if empty else []
    if skipped:
        parts.append(f"{_count(skipped, 'file')} skipped, of no format that is read (name one to be told more)")
    if closed:
        parts.append(f"{_count(closed, 'subfolder')} not looked into (--recursive does)")
    if parts:
        complain(f"{shown(folder)}: {'; '.join(parts)}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def read_photos(sources: Sequence[Source], read: Read) -> Iterator[list[Photo]]:
    """Read photos in batches, report those that cannot be read, and show whoever waits how far it is."""
    hidden = len(sources) == 1 or not sys.stderr.isatty()
    with tqdm(total=len(sources), unit="photo", file=sys.stderr, disable=hidden) as progress:
        for start in range(0, len(sources), BATCH_SIZE):
            batch = sources[start : start + BATCH_SIZE]
            photos = [photo for source in batch if (photo := read_photo(source, read)) is not None]
            if photos:
                yield photos
            progress.update(len(batch))


def read_photo(source: Source, read: Read = decode_photo) -> Photo | None:
    """Read a photo; report it and return ``None`` if that fails.

    Args:
        source: Where it is from.
        read: How, such as by :meth:`captioner.predictor.CaptionPredictor.read`.
    """
    try:
        data = read_bytes(source, DEFAULT_LIMITS.max_bytes + 1)
        return Photo(source, data, read(data))
    except OSError as error:
        complain(f"{shown(source)}: {_hint(source) or error.strerror or error}")
    except CaptionerError as error:
        complain(f"{shown(source)}: {error}")
    return None


def read_bytes(source: Source, most: int) -> bytes:
    """Return the first bytes of a file: as many as show that one is too large.

    Raises:
        OSError: If it cannot be read.
    """
    if source.path is not None:
        with source.path.open("rb") as file:
            return file.read(most)
    if sys.stdin.isatty():
        raise OSError("it stands for standard input, which is a terminal; pipe a photo into it, or give ./- for a file")
    return sys.stdin.buffer.read(most)


def _hint(source: Source) -> str:
    if "://" not in source.text or (source.path is not None and source.path.exists()):
        return ""
    return "this is an address, and nothing is fetched from the web; download it, or pipe it: curl -L ADDRESS | ... -"


def picture_files(flag: str, out: str, names: Sequence[str], sources: Iterable[Source]) -> list[Path]:
    """Say where pictures go and make their folders; refuse before any work what would lose a file or cannot be done.

    Args:
        flag: The option that asked for them, for the errors.
        out: A file whose name ends in .png, or a folder: one that exists, or a name that ends in a slash or has no
            ending.
        names: Of the pictures in a folder, without .png; slashes make subfolders.
        sources: Photos that must not be overwritten.

    Raises:
        OptionError: If ``out`` is neither, if several pictures, or a picture and a photo, would be one file, or if
            nothing can be written there.
    """
    single = _is_file(flag, out)
    if single and len(names) > 1:
        raise OptionError(f"{flag} {out} is one file; for {len(names)} pictures it must be a folder")
    files = [Path(out)] if single else [Path(out, f"{name}.png") for name in names]
    if len(set(files)) < len(files):
        raise OptionError(f"{flag}: two photos have the same name; take them one after the other")
    kept = {source.path.resolve() for source in sources if source.path is not None}
    for file in files:
        if file.resolve() in kept:
            raise OptionError(f"{flag}: {file} is one of the photos, and would be overwritten")
    if not Path(out).absolute().parent.is_dir():
        raise OptionError(f"{flag} {out}: there is no folder {Path(out).parent}")
    try:
        _prepare(files)
    except OSError as error:
        raise OptionError(f"{flag} {out}: it cannot be written: {error.strerror or error}") from None
    return files


def _is_file(flag: str, out: str) -> bool:
    """Whether an output is one picture, not a folder of pictures."""
    path = Path(out)
    if path.is_dir() or out.endswith(("/", os.sep)) or not path.suffix:
        return False
    if path.suffix.lower() != ".png":
        raise OptionError(
            f"{flag} {out}: pictures are PNG, so the name of one must end in .png; for a folder of that name, end it "
            "with a slash"
        )
    return True


def _prepare(files: Sequence[Path]) -> None:
    """Make folders, and try whether files can be written, leaving no trace of that."""
    for folder in {file.parent for file in files}:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    for file in files:
        if file.exists():
            with file.open("r+b"):
                pass
