"""Files that are whole whenever they are seen, whatever ends the process or the machine while they are written."""

import errno
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED = 3600.0  # seconds without a write after which a temporary file's writer is taken for dead
NO_SYNC = (errno.EINVAL, errno.ENOTSUP)  # how file systems answer that do not synchronise folders


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Let a file be written beside its place, and put it there once it is whole; a failure leaves the old one.

    Two writers of the same file do not meet: the last one to end wins.

    Args:
        path: The file; its folder is made if it is not there.
        durable: Whether the file must outlive a power cut from then on. If not, :func:`synchronise` does that for many
            files at once, much faster.

    Yields:
        Where to write, in the same folder: a new file, empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if durable:  # a folder that many files are unpacked to is too long to be looked through for each
        _remove_abandoned(path)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    partial.open("xb").close()  # in place of tempfile, whose files others than their owner cannot read
    try:
        yield partial
        move(partial, path, durable=durable)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


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


def _remove_abandoned(path: Path) -> None:
    """Remove what writers of a file left behind that were killed in the middle."""
    ours = re.compile(re.escape(path.name) + r"\.[0-9a-f]{8}\.partial")
    for other in path.parent.iterdir():
        if ours.fullmatch(other.name):
            with suppress(OSError):  # another writer may be faster
                if time.time() - other.stat().st_mtime > ABANDONED:
                    other.unlink()
