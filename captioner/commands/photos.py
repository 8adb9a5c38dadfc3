"""Photos on the command line: which files are meant, reading them, and the pictures that are drawn of them."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from captioner.commands.output import complain, shown
from captioner.errors import CaptionerError, OptionError
from captioner.images import DEFAULT_LIMITS, read_image

# of the images of a folder
SUFFIXES = (".jpg", ".jpeg", ".mpo", ".png", ".webp", ".gif", ".bmp", ".avif", ".heic", ".heif")
BATCH_SIZE = 8


@dataclass(frozen=True)
class Photo:
    """A photo that was read.

    Attributes:
        path: Its file.
        image: The upright picture, RGB.
    """

    path: Path
    image: Image.Image


def find_photos(arguments: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files to read, folders replaced by their images, and the folders that have none."""
    paths: list[Path] = []
    empty: list[Path] = []
    for path in arguments:
        if not path.is_dir():
            paths.append(path)
            continue
        images = sorted(file for file in path.iterdir() if _is_photo(file))
        paths += images
        if not images:
            empty.append(path)
    return list(dict.fromkeys(paths)), empty


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def read_photos(paths: Sequence[Path]) -> Iterator[list[Photo]]:
    """Read photos in batches, report those that cannot be read, and show whoever waits how far it is."""
    hidden = len(paths) == 1 or not sys.stderr.isatty()
    with tqdm(total=len(paths), unit="photo", file=sys.stderr, disable=hidden) as progress:
        for start in range(0, len(paths), BATCH_SIZE):
            batch = paths[start : start + BATCH_SIZE]
            photos = [photo for path in batch if (photo := read_photo(path)) is not None]
            if photos:
                yield photos
            progress.update(len(batch))


def read_photo(path: Path) -> Photo | None:
    """Read a photo; report it and return ``None`` if that fails."""
    try:
        with path.open("rb") as file:
            data = file.read(DEFAULT_LIMITS.max_bytes + 1)  # enough to see that a huge file is too large
        return Photo(path, read_image(data))
    except OSError as error:
        complain(f"{shown(path)}: {error.strerror or error}")
    except CaptionerError as error:
        complain(f"{shown(path)}: {error}")
    return None


def picture_files(flag: str, out: Path, names: Sequence[str], photos: Iterable[Path]) -> list[Path]:
    """Say where pictures go, make their folders, and refuse before any work what would lose a file.

    Args:
        flag: The option that asked for them, for the errors.
        out: A file whose name ends in .png, or a folder.
        names: Of the pictures in a folder, without .png.
        photos: Files that must not be overwritten.

    Raises:
        OptionError: If several pictures, or a picture and a photo, would be one file.
    """
    single = out.suffix.lower() == ".png" and not out.is_dir()
    if single and len(names) > 1:
        raise OptionError(f"{flag} {out} is one file; for {len(names)} pictures it must be a folder")
    files = [out] if single else [out / f"{name}.png" for name in names]
    if len(set(files)) < len(files):
        raise OptionError(f"{flag}: two photos have the same name; take them one after the other")
    kept = {path.resolve() for path in photos}
    for file in files:
        if file.resolve() in kept:
            raise OptionError(f"{flag}: {file} is one of the photos, and would be overwritten")
    for folder in {file.parent for file in files}:
        folder.mkdir(parents=True, exist_ok=True)
    return files
