"""Files that are whole whenever they are seen, whatever ends the process or the machine while they are written."""

import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED = 3600.0  # seconds without a write after which a temporary file's writer is taken for dead
_ENDING = r"\.[0-9a-f]{8}\.partial"
NO_SYNC = (errno.EINVAL, errno.ENOTSUP)  # how file systems answer that do not synchronise folders


@contextmanager
def replacing(path: Path, *, durable: bool = True, tidy: bool | None = None) -> Iterator[Path]:
    """Let a file be written beside its place, and put it there once it is whole; a failure leaves the old one.

    Two writers of the same file do not meet: the last one to end wins.

    Args:
        path: The file; its folder is made if it is not there.
        durable: Whether the file must outlive a power cut from then on. If not, :func:`synchronise` does that for many
            files at once, much faster.
        tidy: Whether to look for what killed writers of the file left in its folder; ``None`` is if it is durable.

    Yields:
        Where to write, in the same folder: a new file, empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if durable if tidy is None else tidy:  # a folder of many files is too long to be looked through for each
        _remove_abandoned(path)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    partial.open("xb").close()  # in place of tempfile, whose files others than their owner cannot read
    try:
        yield partial
        move(partial, path, durable=durable)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def rewriting(path: Path, times: os.stat_result | None = None) -> Iterator[Path]:
    """Let a file of a folder of many be written anew, as :func:`replacing`: through links, with the same permissions.

    Args:
        path: The file, which need not be there.
        times: Whose times it shall have; ``None`` is those of the writing.
    """
    path = path.resolve()
    with replacing(path, tidy=False) as partial:
        yield partial
        if path.exists():
            shutil.copymode(path, partial)
        if times is not None:
            os.utime(partial, ns=(times.st_atime_ns, times.st_mtime_ns))


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file, texts in UTF-8; see :func:`replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def move(partial: Path, path: Path, *, durable: bool = True) -> None:
    """Give a file that is whole its name, in place of an older one in the same folder.

    Its content reaches the disk before its name does: otherwise a power cut may leave an empty file of that name.
    """
    if durable:
        _synchronise(partial)
    os.replace(partial, path)
    if durable:
        _synchronise(path.parent)


def synchronise(files: Iterable[Path]) -> None:
    """Return once files, and their names in their folders, are on the disk."""
    folders = set()
    for file in files:
        _synchronise(file)
        folders.add(file.parent)
    for folder in folders:
        _synchronise(folder)


def _synchronise(path: Path) -> None:
    """Wait until a file's content or a folder's list is on the disk."""
    folder = path.is_dir()
    if folder and os.name == "nt":  # Windows opens no folders, and writes their lists in order
        return
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (folder and error.errno in NO_SYNC):
            raise
    finally:
        os.close(descriptor)


def remove_abandoned(folder: Path) -> None:
    """Remove what writers of any file of a folder left behind that were killed in the middle."""
    _remove(folder, re.compile(r".+" + _ENDING))


def _remove_abandoned(path: Path) -> None:
    _remove(path.parent, re.compile(re.escape(path.name) + _ENDING))


def _remove(folder: Path, names: re.Pattern[str]) -> None:
    for other in folder.iterdir():
        if names.fullmatch(other.name):
            with suppress(OSError):  # another writer may be faster
                if time.time() - other.stat().st_mtime > ABANDONED:
                    other.unlink()
