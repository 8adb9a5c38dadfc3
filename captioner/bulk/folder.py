"""The folder that a bulk job writes: its manifest, its plan, its shards, and the journal of those that are done.

What is not a shard has a name that begins with an underscore, which readers of data sets (pyarrow, Spark, Ray) skip.
``_manifest.json`` says of what the rows are made, and is written once the plan is whole; ``_plan.jsonl`` has the photos
of a block on each line; ``_journal.jsonl`` a line per finished block. A shard is written in ``_writing`` and renamed
when it is on the disk, so that a shard that is seen is whole.
"""

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from captioner.bulk.inputs import PhotoRef
from captioner.errors import OptionError
from captioner.files import move, write_whole


class BlockRef(NamedTuple):
    """A block of the plan: its number, and where its line begins in the plan's file, in bytes."""

    number: int
    offset: int


@dataclass(frozen=True)
class BlockReport:
    """What became of a block: how many photos it has, and how many of them could not be captioned."""

    block: int
    photos: int
    errors: int


class BulkFolder:
    """The folder of a job.

    Args:
        path: Where it is; it is made when it is first written to.
        form: Of the shards.
    """

    def __init__(self, path: Path, form: str) -> None:
        self.path = path
        self._form = form
        self._manifest = path / "_manifest.json"
        self._plan = path / "_plan.jsonl"
        self._journal = path / "_journal.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other jobs out of the folder, and remove what killed ones were writing.

        Raises:
            OptionError: If another process is at work in it, or if it holds other files.
        """
        if self.path.is_dir() and not self._manifest.exists() and (other := self._other_files()):
            raise OptionError(f"{self.path}: holds other files, such as {other[0]}; name a new folder")
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / "_lock", timeout=0):
                for left in (self.path / "_writing").glob("*"):
                    left.unlink(missing_ok=True)
                yield
        except Timeout:
            raise OptionError(f"{self.path}: another process is at work in this folder") from None

    def _other_files(self) -> list[str]:
        return sorted(name for name in os.listdir(self.path) if not name.startswith("_"))

    def manifest(self) -> dict[str, Any] | None:
        """Return the manifest, or ``None`` if there is no whole plan yet."""
        if not self._manifest.exists():
            return None
        found: dict[str, Any] = json.loads(self._manifest.read_text(encoding="utf-8"))
        return found

    def write_plan(self, photos: Iterable[PhotoRef], block_size: int, manifest: Mapping[str, Any]) -> None:
        """List the photos in blocks, and then write the manifest, with how many there are."""
        count, blocks, listed = 0, 0, iter(photos)
        with self._replacing(self._plan) as partial, partial.open("w", encoding="ascii") as file:
            while block := list(islice(listed, block_size)):
                file.write(json.dumps(block) + "\n")
                count, blocks = count + len(block), blocks + 1
        write_whole(self._manifest, json.dumps({**manifest, "photos": count, "blocks": blocks}, indent=1) + "\n")

    def blocks(self) -> Iterator[BlockRef]:
        """Yield the blocks of the plan."""
        with self._plan.open("rb") as file:
            offset = 0
            for number, line in enumerate(file):
                yield BlockRef(number, offset)
                offset += len(line)

    def photos(self, block: BlockRef) -> list[PhotoRef]:
        """Return the photos of a block."""
        with self._plan.open("rb") as file:
            file.seek(block.offset)
            return [PhotoRef(*values) for values in json.loads(file.readline())]

    def shard(self, number: int) -> Path:
        """Return the file of a block's rows."""
        return self.path / f"part-{number:06}.{self._form}"

    @contextmanager
    def writing(self, number: int) -> Iterator[Path]:
        """Let a shard be written, and put it in its place once it is whole and on the disk."""
        with self._replacing(self.shard(number)) as partial:
            yield partial

    @contextmanager
    def _replacing(self, path: Path) -> Iterator[Path]:
        """As captioner.files.replacing, but in a folder of their own: readers of data sets would try those beside."""
        (self.path / "_writing").mkdir(parents=True, exist_ok=True)
        partial = self.path / "_writing" / f"{path.name}.{secrets.token_hex(4)}"
        try:
            yield partial
            move(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def reports(self) -> dict[int, BlockReport]:
        """Return the reports of the blocks whose shards are there, by number, and leave no others in the journal."""
        there = {name for name in os.listdir(self.path) if name.startswith("part-")}
        found = {one.block: one for one in self._journalled() if self.shard(one.block).name in there}
        write_whole(self._journal, "".join(_line(report) for report in found.values()))
        return found

    def _journalled(self) -> Iterator[BlockReport]:
        lines = self._journal.read_text(encoding="ascii").splitlines(keepends=True) if self._journal.exists() else []
        for line in lines:
            if line.endswith("\n"):  # the last one may be torn
                yield BlockReport(**json.loads(line))

    def note(self, report: BlockReport) -> None:
        """Add a report to the journal."""
        with self._journal.open("a", encoding="ascii") as file:
            file.write(_line(report))


def _line(report: BlockReport) -> str:
    return json.dumps(asdict(report)) + "\n"
