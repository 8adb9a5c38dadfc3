"""A look at every photo: is it there, can it be read, and is it the same as another one?"""

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from captioner.cpus import available_cpus
from captioner.errors import ImageError
from captioner.images import read_image


@dataclass(frozen=True)
class Look:
    """What was seen of a photo's file.

    Attributes:
        there: Whether it exists.
        content: Hash of its bytes; of a photo that was not opened, its path.
        problem: Why it cannot be read; empty if it can, or if nobody tried.
    """

    there: bool
    content: str = ""
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether it is there, and nothing was found wrong with it."""
        return self.there and not self.problem


def look_at(paths: Iterable[Path], *, opened: bool = True) -> Mapping[Path, Look]:
    """Look at photos, many at a time.

    Args:
        paths: Their files.
        opened: Whether to read and decode them all, which takes a while; otherwise only whether they exist is seen.
    """
    files = list(dict.fromkeys(paths))
    if not opened:
        return {path: Look(path.is_file(), str(path.absolute())) for path in files}
    with ThreadPoolExecutor(available_cpus()) as pool:  # reading and decoding happen outside of Python's lock
        return dict(zip(files, tqdm(pool.map(_look, files), "reading photos", len(files), unit="photo"), strict=True))


def _look(path: Path) -> Look:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Look(there=False)
    except OSError as error:
        return Look(there=True, content=str(path.absolute()), problem=str(error.strerror))
    content = hashlib.sha256(data).hexdigest()
    try:
        read_image(data)
    except ImageError as error:
        return Look(there=True, content=content, problem=str(error))
    return Look(there=True, content=content)
