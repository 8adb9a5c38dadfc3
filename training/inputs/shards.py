"""Arrays with a row per photo, in files of bounded size, which any number of processes fill together.

A file is written under another name, reaches the disk, and is then renamed: one that is there is whole. What is left to
do is what is not there, whatever ended the processes that were at it. A lock says who is at which file, and ends with
its holder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike, NDArray
from tqdm import tqdm

from captioner.files import move

LARGEST = 256 * 2**20  # bytes of a file: what a process that is killed may have to do again


@dataclass(frozen=True)
class Layout:
    """How rows lie in files.

    Attributes:
        folder: Where the files are.
        count: Of the rows.
        each: Rows of a file; the last one may have fewer.
    """

    folder: Path
    count: int
    each: int

    @classmethod
    def of(cls, folder: Path, count: int, row_bytes: int, together: int = 1) -> "Layout":
        """Return the layout of rows of some size.

        Args:
            folder: Where the files are to be.
            count: Of the rows.
            row_bytes: Of the largest array's rows.
            together: How many rows are made at once; a file begins where such a batch does.
        """
        return cls(folder, count, max(LARGEST // (row_bytes * together), 1) * together)

    @property
    def shards(self) -> range:
        """The numbers of the files of an array."""
        return range(-(-self.count // self.each))

    def rows(self, shard: int) -> range:
        """Return which rows a file has."""
        return range(shard * self.each, min((shard + 1) * self.each, self.count))

    def file(self, name: str, shard: int) -> Path:
        """Return a file of an array."""
        return self.folder / f"{name}-{shard:05}-of-{len(self.shards):05}.npy"

    def is_done(self, names: Sequence[str], shard: int) -> bool:
        """Whether a file of each array is there."""
        return all(self.file(name, shard).exists() for name in names)


class ShardedRows:
    """An array ``[I, ...]`` in files, memory-mapped as they are needed.

    Args:
        layout: Of its rows.
        name: Of the array.
    """

    def __init__(self, layout: Layout, name: str) -> None:
        self._layout = layout
        self._name = name
        self._files: dict[int, NDArray[np.generic]] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._layout.count

    def __getitem__(self, indices: Sequence[int]) -> NDArray[np.generic]:
        """Return rows, ``[B, ...]``."""
        return np.stack([self._file(index // self._layout.each)[index % self._layout.each] for index in indices])

    def _file(self, shard: int) -> NDArray[np.generic]:
        if shard not in self._files:
            mapped = np.load(self._layout.file(self._name, shard), mmap_mode="r")
            self._files[shard] = np.asarray(mapped)  # whose rows are taken faster than a memmap's
        return self._files[shard]


Shapes = Mapping[str, tuple[tuple[int, ...], DTypeLike]]  # of the rows of each array, and what they are made of
Write = Callable[[range, Mapping[str, NDArray[np.generic]], tqdm], None]  # what fills the rows of one file of each


def fill(layout: Layout, shapes: Shapes, write: Write, title: str) -> None:
    """Fill the files that are not there yet, together with other processes that do the same at the same time.

    Args:
        layout: Of the rows.
        shapes: Of the arrays.
        write: Fills some rows of all arrays, and moves a progress bar by each.
        title: Of the progress bar.
    """
    names = list(shapes)
    left = [shard for shard in layout.shards if not layout.is_done(names, shard)]
    rows = sum(len(layout.rows(shard)) for shard in left)
    with tqdm(total=layout.count, initial=layout.count - rows, desc=title, unit="photo") as bar:
        while left:
            for shard in left:
                _try(layout, shapes, write, shard, bar, wait=False)
            left = [shard for shard in left if not layout.is_done(names, shard)]
            if left:  # others are at these; if one of them dies, this process goes on
                _try(layout, shapes, write, left[0], bar, wait=True)


def _try(layout: Layout, shapes: Shapes, write: Write, shard: int, bar: tqdm, *, wait: bool) -> None:
    """Fill a file of each array, unless it is there or another process is at it."""
    folder = layout.folder / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{shard:05}")
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        return
    try:
        if not layout.is_done(list(shapes), shard):
            _fill(layout, shapes, write, shard, bar)
    finally:
        lock.release()


def _fill(layout: Layout, shapes: Shapes, write: Write, shard: int, bar: tqdm) -> None:
    partials = {name: layout.file(name, shard).with_suffix(".partial") for name in shapes}
    _write(partials, shapes, write, layout.rows(shard), bar)
    for name, partial in partials.items():
        move(partial, layout.file(name, shard))


def _write(partials: Mapping[str, Path], shapes: Shapes, write: Write, rows: range, bar: tqdm) -> None:
    """Write files; none is mapped any more when this ends, or Windows would not rename it."""
    arrays = {
        name: open_memmap(partials[name], mode="w+", dtype=dtype, shape=(len(rows), *shape))
        for name, (shape, dtype) in shapes.items()
    }
    write(rows, arrays, bar)
    for array in arrays.values():
        array.flush()
