"""Photos as files of their own or in a shard, and a look at each: is it there, can it be read, is it a copy?"""

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from captioner.bulk.tar import read_bytes
from captioner.cpus import available_cpus
from captioner.errors import ImageError
from captioner.images import read_image


@dataclass(frozen=True, slots=True)
class ShardPhoto:
    """A photo in a tar shard; it is read under the same names as a file is by its path.

    Attributes:
        shard: The tar file.
        member: The photo's name there.
        offset: Where it begins, in bytes.
        size: How many bytes it has.
    """

    shard: Path
    member: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.shard}/{self.member}"

    @property
    def name(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self.member).name

    def is_file(self) -> bool:
        """Whether its shard is there."""
        return self.shard.is_file()

    def read_bytes(self) -> bytes:
        """Return its bytes.

        Raises:
            OSError: If they cannot be read.
        """
        return read_bytes(self.shard, self.offset, self.size)


PhotoFile = Path | ShardPhoto


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


def look_at(paths: Iterable[PhotoFile], *, opened: bool = True) -> Mapping[PhotoFile, Look]:
    """Look at photos, many at a time.

    Args:
        paths: Their files.
        opened: Whether to read and decode them all, which takes a while; otherwise only whether they exist is seen.
    """
    files = list(dict.fromkeys(paths))
    if not opened:
        return {path: Look(path.is_file(), _place(path)) for path in files}
    with ThreadPoolExecutor(available_cpus()) as pool:  # reading and decoding happen outside of Python's lock
        return dict(zip(files, tqdm(pool.map(_look, files), "reading photos", len(files), unit="photo"), strict=True))


def _place(path: PhotoFile) -> str:
    return str(path.absolute() if isinstance(path, Path) else path)


def _look(path: PhotoFile) -> Look:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Look(there=False)
    except OSError as error:
        return Look(there=True, content=_place(path), problem=str(error.strerror))
    content = hashlib.sha256(data).hexdigest()
    try:
        read_image(data)
    except ImageError as error:
        return Look(there=True, content=content, problem=str(error))
    return Look(there=True, content=content)
