"""Plain tar files that are read from the middle: where their members are, and the bytes of one."""

import os
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

from captioner.errors import OptionError

SUFFIX = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")


class Member(NamedTuple):
    """A file in a tar file.

    Attributes:
        name: Its name there.
        offset: Where it begins, in bytes.
        size: How many bytes it has.
    """

    name: str
    offset: int
    size: int


def list_members(path: str | os.PathLike[str]) -> Iterator[Member]:
    """Yield the files in a tar file, in its order, so that whoever wants one need not read the others.

    Raises:
        OptionError: If it cannot be read, or is compressed.
    """
    if str(path).lower().endswith(COMPRESSED):
        raise OptionError(f"{path}: a compressed shard cannot be read from the middle; make it a plain .tar")
    try:
        with tarfile.open(path, "r:") as shard:
            while (member := shard.next()) is not None:
                shard.members = []  # type: ignore[attr-defined]  # or it would remember all of a shard of any size
                if member.isreg():
                    yield Member(member.name, member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise OptionError(f"{path}: not a readable tar file: {error}") from None


def read_bytes(path: str | os.PathLike[str], offset: int, size: int) -> bytes:
    """Return some bytes of a file.

    Raises:
        OSError: If it cannot be read.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)
