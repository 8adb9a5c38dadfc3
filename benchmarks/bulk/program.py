"""``captioner bulk`` on a list of photos: run to its end, killed on its way, and what it has made."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bulk.processes import kill, memory, workers
from benchmarks.service.program import ROOT, environment
from captioner.bulk.shards import count_rows
from captioner.errors import CaptionerError

EVERY = 0.2  # seconds between two looks at a program


class WrongRowsError(CaptionerError):
    """A photo that was lost or captioned twice."""


@dataclass(frozen=True)
class Seen:
    """What was seen of a program.

    Attributes:
        seconds: From its start to its end.
        rate: Photos per second from when each worker had made a shard to the last one.
        cpu_seconds: Of all its processes, their start included.
        memory: Most bytes of all its processes at once, each page counted once.
        kills: How often one of its workers was killed.
    """

    seconds: float
    rate: float
    cpu_seconds: float
    memory: int
    kills: int


class BulkProgram:
    """The program on some photos.

    Args:
        files: The photos, some of which may be there several times.
        folder: Where their table and the output are.
        options: Further words of its command line.
        block_size: Photos of a shard.
        workers: How many blocks are in work at once.
    """

    def __init__(
        self, files: Sequence[Path], folder: Path, options: Sequence[str], block_size: int, workers: int = 1
    ) -> None:
        self._files = [str(path.absolute()) for path in files]
        self._table = folder / "photos.csv"
        self._table.write_text("\n".join(["path", *self._files]) + "\n", encoding="utf-8")
        self._folder, self._options, self._block_size = folder, list(options), block_size
        self._workers = workers

    @contextmanager
    def running(self, output: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Start it; what it says goes to a file beside the output."""
        command = [sys.executable, "-m", "captioner", "bulk", str(self._table), str(output), *self._options]
        command += ["--block-size", str(self._block_size)]
        with (
            (self._folder / f"{output.name}.txt").open("ab") as told,
            subprocess.Popen(command, stdout=told, stderr=told, env=environment(ROOT)) as program,  # noqa: S603 - our own
        ):
            try:
                yield program
            finally:
                kill(program.pid)

    def whole(self, name: str, kills: int = 0) -> Seen:
        """Run it to its end; kill one of its workers so many times, evenly on the way.

        Raises:
            WrongRowsError: If a photo was lost or captioned twice.
        """
        output, begun, most, killed = self._folder / name, time.monotonic(), 0, 0
        blocks = -(-len(self._files) // self._block_size)
        before = _cpu_seconds()
        with self.running(output) as program:
            while program.poll() is None:
                most = max(most, memory(program.pid))
                due = killed < kills and len(shards(output)) > (killed + 1) * blocks // (kills + 1)
                if due and (there := workers(program.pid)):
                    kill(there[killed % len(there)])
                    killed += 1
                time.sleep(EVERY)
        seconds = time.monotonic() - begun
        self.require_each_once(output)
        return Seen(seconds, self._rate(output), _cpu_seconds() - before, most, killed)

    def killed(self, output: Path, after: float) -> bool:
        """Run it, and kill it after so many seconds; return whether it was killed, or else it had ended."""
        with self.running(output) as program:
            try:
                program.wait(after)
            except subprocess.TimeoutExpired:
                kill(program.pid)
                program.wait()
                return True
        return False

    def require_each_once(self, output: Path) -> None:
        """Make sure that an output has each photo as often as it was given.

        Raises:
            WrongRowsError: If not.
        """
        found = Counter(paths(shards(output)))
        if found != Counter(self._files):
            told = self._folder / f"{output.name}.txt"
            raise WrongRowsError(
                f"a photo was lost or captioned twice: {found.total()} rows of {len(self._files)} photos; "
                f"the program said:\n{told.read_text(encoding='utf-8', errors='replace')[-2000:]}"
            )

    def _rate(self, output: Path) -> float:
        """Return the rate from when each worker had made a shard, so without the start of processes."""
        ended = sorted((path.stat().st_mtime_ns, path) for path in shards(output))
        before = ended[: self._workers]
        seconds = (ended[-1][0] - before[-1][0]) / 1e9
        photos = len(self._files) - sum(count_rows(path, "jsonl")[0] for _, path in before)
        return photos / seconds if seconds else float("nan")


def _cpu_seconds() -> float:
    """Return the CPU time of all processes that this one began and that have ended, theirs included."""
    times = os.times()
    return times.children_user + times.children_system


def shards(output: Path) -> list[Path]:
    """Return the shards of an output, in their order."""
    return sorted(output.glob("part-*"))


def paths(files: Iterable[Path]) -> Iterator[str]:
    """Yield the photos of shards in JSON lines."""
    for file in files:
        yield from (json.loads(line)["path"] for line in file.read_text(encoding="utf-8").splitlines())
