"""What the caches of features and of photos share."""

import fcntl
import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from captioner.errors import ImageError
from captioner.images import read_image
from training.errors import DataError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, waiting while another process does; whatever ends a process, its hold ends with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tqdm.write(f"waiting for another process that builds {folder}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
