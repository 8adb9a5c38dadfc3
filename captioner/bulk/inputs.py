"""The photos that a bulk job is about: of folders, patterns, tar shards and tables of paths."""

import csv
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from captioner.bulk.parquet import iterate_column
from captioner.bulk.tar import COMPRESSED, SUFFIX, list_members, read_bytes
from captioner.errors import OptionError
from captioner.images import DEFAULT_LIMITS, SUFFIXES

COLUMN = "path"
LONGEST_CELL = 2**20  # characters of a CSV's cell


class PhotoRef(NamedTuple):
    """Where the bytes of a photo are.

    Attributes:
        path: How it is called: as it was given, or in a table.
        file: The file that holds it, from the root.
        member: Its name in that file, if it is a tar shard.
        offset: Where in the file it begins, in bytes.
        size: How many bytes it has; ``None`` is all of the file.
    """

    path: str
    file: str
    member: str | None = None
    offset: int = 0
    size: int | None = None

    def read(self) -> bytes:
        """Return the bytes, of a file that is too large only as many as show it.

        Raises:
            OSError: If they cannot be read.
        """
        most = DEFAULT_LIMITS.max_bytes + 1
        return read_bytes(self.file, self.offset, most if self.size is None else min(self.size, most))


def find_inputs(inputs: Sequence[str], column: str = COLUMN, root: Path | None = None) -> Iterator[PhotoRef]:
    """Find all photos of some inputs, in an order that depends on nothing but them.

    Args:
        inputs: Photos; folders, with their subfolders; tar shards (``.tar``); tables of paths (``.parquet``, ``.csv``);
            and patterns of all these, such as ``shards/*.tar`` or ``photos/**/*.jpg``.
        column: Of a table, where the paths are.
        root: What relative paths in tables are relative to; ``None`` is the current folder.

    Raises:
        OptionError: If an input is not there, holds no photo, or cannot be read.
    """
    for text in inputs:
        found = False
        for path in _matches(text):
            for photo in _photos_of(path, column, root or Path()):
                found = True
                yield photo
        if not found:
            raise OptionError(f"{text}: no photo in it; in folders and shards these count: {', '.join(SUFFIXES)}")


def _matches(text: str) -> list[str]:
    """Return the input itself, or what a pattern stands for."""
    if "://" in text:
        raise OptionError(f"{text} is an address; nothing is fetched from the web: download it, and name the folder")
    if os.path.exists(text):
        return [text]
    found = sorted(glob.glob(text, recursive=True)) if glob.has_magic(text) else []
    if not found:
        raise OptionError(f"{text}: no such file or folder")
    return found


def _photos_of(path: str, column: str, root: Path) -> Iterator[PhotoRef]:
    lowered = path.lower()
    if os.path.isdir(path):
        return _of_folder(path)
    if lowered.endswith((SUFFIX, *COMPRESSED)):
        return _of_shard(path)
    if lowered.endswith((".parquet", ".csv")):
        rows = iterate_column(path, column) if lowered.endswith(".parquet") else _csv_column(path, column)
        return (PhotoRef(row, os.path.abspath(root / row)) for row in rows)
    return iter([PhotoRef(path, os.path.abspath(path))])


def _of_folder(folder: str) -> Iterator[PhotoRef]:
    for here, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if _is_photo(name):
                path = os.path.join(here, name)
                yield PhotoRef(path, os.path.abspath(path))


def _refuse(error: OSError) -> None:
    raise OptionError(f"{error.filename}: {error.strerror}") from None


def _is_photo(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _of_shard(path: str) -> Iterator[PhotoRef]:
    """Yield the photos of a tar file, by where they are in it, so that a worker reads no more than its own."""
    file = os.path.abspath(path)
    for name, offset, size in list_members(path):
        if _is_photo(os.path.basename(name)):
            yield PhotoRef(path, file, name, offset, size)


def _csv_column(path: str, column: str) -> Iterator[str]:
    csv.field_size_limit(LONGEST_CELL)
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        names = rows.fieldnames or []
        if column not in names:
            raise OptionError(
                f"{path}: no column {column!r}; there is {', '.join(names) or 'none'} (--column names it)"
            )
        for row in rows:
            yield row[column] or ""
