"""What the caches of features and of photos share."""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from PIL import Image
from tqdm import tqdm

from captioner.errors import ImageError
from captioner.images import read_image
from training.errors import DataError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, waiting while another process does; whatever ends a process, its hold ends with it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tqdm.write(f"waiting for another process that builds {folder}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def hash_photos(digest: "hashlib._Hash", photos: Iterable[Path]) -> None:
    """Add the contents of photos to what names a cache."""
    for photo in photos:
        digest.update(hashlib.sha256(photo.read_bytes()).digest())


def read_photo(path: Path) -> Image.Image:
    """Read the upright photo of a training or validation set.

    Raises:
        DataError: If it is no usable image; the message names it.
    """
    try:
        return read_image(path.read_bytes())
    except ImageError as error:
        raise DataError(f"{path}: {error} (unreadable = skip leaves such photos out)") from None
