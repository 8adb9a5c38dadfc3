"""A data set from the web to a folder that a recipe can name."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from training.data.download.archive import unpack
from training.data.download.download import Download, free_space
from training.data.download.notes import read_note, write_note
from training.data.download.remote import RemoteFile
from training.errors import DataError

GIGABYTE = 1e9
DOWNLOADS = "downloads"  # below the root


@dataclass(frozen=True)
class Prepared:
    """What is there of a file now.

    Attributes:
        name: The file's name.
        files: How many files it was unpacked to.
        size: Their bytes.
    """

    name: str
    files: int
    size: int


def prepare(
    files: Sequence[RemoteFile], root: Path, *, delete_zips: bool = False, pause: Callable[[float], None] = time.sleep
) -> list[Prepared]:
    """Download and unpack what is not there yet, one file after the other.

    Args:
        files: What to download.
        root: Where to unpack; the zip files go to ``downloads`` below it.
        delete_zips: Whether to delete each zip file once it is unpacked.
        pause: Called with a number of seconds to wait before another attempt.

    Raises:
        DataError: If a file cannot be had, if it is damaged, or if the disk is too small.
    """
    folder = root / DOWNLOADS
    missing = [file for file in files if not _is_unpacked(file, root)]
    need, free = space_needed(missing, root, delete_zips=delete_zips), free_space(root)
    if need > free:
        raise DataError(f"{root}: about {need / GIGABYTE:.1f} GB are needed; {free / GIGABYTE:.1f} GB are free")
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        for file in missing:
            path = Download(file, folder, pause).run()
            write_note(_list_file(file, root), unpack(path, root, file.select, file.folder))
            if delete_zips:
                path.unlink()
    return [_prepared(file, root) for file in files]


def space_needed(files: Sequence[RemoteFile], root: Path, *, delete_zips: bool) -> int:
    """Return how many more bytes of disk are taken at the worst moment, about."""
    taken = worst = 0
    for file in files:
        download = max(file.size - Download(file, root / DOWNLOADS).have, 0)
        taken += download + max(file.unpacked - _unpacked_bytes(file, root), 0)
        worst = max(worst, taken)
        taken -= file.size if delete_zips else 0
    return worst


def _unpacked_bytes(file: RemoteFile, root: Path) -> int:
    pattern = f"{file.folder}/{PurePosixPath(file.select).name}" if file.folder else file.select
    return sum(path.stat().st_size for path in root.glob(pattern))


def _list_file(file: RemoteFile, root: Path) -> Path:
    """Return the file that lists what a zip file was unpacked to, written once that is done."""
    return root / DOWNLOADS / f"{file.name}.unpacked.json"


def _is_unpacked(file: RemoteFile, root: Path) -> bool:
    sizes = read_note(_list_file(file, root))
    return bool(sizes) and all(_size(root / name) == size for name, size in sizes.items())


def _prepared(file: RemoteFile, root: Path) -> Prepared:
    sizes = read_note(_list_file(file, root))
    return Prepared(file.name, len(sizes), sum(sizes.values()))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder of downloads; whatever ends a process, its hold ends with it.

    Raises:
        DataError: If another process holds it.
    """
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(f"{folder}: another process is preparing data there") from None
    try:
        yield
    finally:
        lock.release()
