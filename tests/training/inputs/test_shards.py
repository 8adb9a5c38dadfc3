"""Arrays in files of bounded size: the same numbers, whatever ends the processes that fill them."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from training.inputs import shards
from training.inputs.shards import Layout, ShardedRows, fill

ROOT = Path(__file__).parents[3]
COUNT, WIDTH, KILLS = 40, 3, 20
# What a process does: row n of the array holds n in every cell. Once it has begun, it says so.
WORK = f"""
import sys, time
from pathlib import Path
import numpy as np
from training.inputs.shards import Layout, fill

def write(rows, files, bar):
    for row in rows:
        files["numbers"][row - rows.start] = row
        time.sleep(0.005)
    with open(sys.argv[1] + "/log", "a") as log:
        log.write(f"{{rows.start}}\\n")

print("ready", flush=True)
for _ in sys.stdin:
    print("begun", flush=True)
    fill(Layout(Path(sys.argv[1]), {COUNT}, 3), {{"numbers": (({WIDTH},), np.int64)}}, write, "numbers")
    print("done", flush=True)
"""


def numbers(layout: Layout) -> Any:
    return ShardedRows(layout, "numbers")[range(layout.count)]


@pytest.mark.parametrize(("count", "together", "each"), [(10, 1, 7), (10, 2, 6), (10, 16, 16), (3, 1, 7)])
def test_files_are_as_large_as_they_may_be_and_begin_with_a_batch(
    count: int, together: int, each: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "LARGEST", 7 * 8)
    layout = Layout.of(tmp_path, count, 8, together)
    assert layout.each == each
    assert [row for shard in layout.shards for row in layout.rows(shard)] == list(range(count))


def test_rows_are_those_that_were_written(tmp_path: Path) -> None:
    def write(rows: range, files: Any, bar: Any) -> None:
        files["a"][:] = np.array(rows)[:, None]
        files["b"][:] = -np.array(rows)[:, None, None]

    layout = Layout(tmp_path, 11, 4)
    fill(layout, {"a": ((2,), np.int32), "b": ((1, 2), np.float16)}, write, "")
    chosen = [10, 0, 4, 4, 3]
    assert ShardedRows(layout, "a")[chosen].tolist() == [[n, n] for n in chosen]
    assert ShardedRows(layout, "b")[chosen].tolist() == [[[-n, -n]] for n in chosen]
    assert len(ShardedRows(layout, "a")) == 11
    fill(layout, {"a": ((2,), np.int32), "b": ((1, 2), np.float16)}, pytest.fail, "")  # type: ignore[arg-type]
    layout.file("b", 1).unlink()  # a pair is made anew if half of it is missing
    fill(layout, {"a": ((2,), np.int32), "b": ((1, 2), np.float16)}, write, "")
    assert ShardedRows(layout, "b")[[5]].tolist() == [[[-5, -5]]]


class Worker:
    """A process that has imported all, and begins when it is told."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", WORK, str(folder)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )

    def begin(self) -> None:
        assert self.process.stdin is not None
        print("go", file=self.process.stdin, flush=True)

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.mark.slow
def test_a_process_that_is_killed_at_any_moment_leaves_nothing_half_written(tmp_path: Path) -> None:
    random, expected = Random(0), np.repeat(np.arange(COUNT)[:, None], WIDTH, 1)  # noqa: S311 - moments, no secrets
    layouts, done = [Layout(tmp_path / str(number), COUNT, 3) for number in range(KILLS)], []

    def write(rows: range, files: Any, bar: Any) -> None:
        files["numbers"][:] = np.array(rows)[:, None]

    for layout in layouts:
        layout.folder.mkdir()
        worker = Worker(layout.folder)
        assert worker.said() == "ready"
        worker.begin()
        assert worker.said() == "begun"
        time.sleep(random.uniform(0, 0.3))
        worker.kill()
        there = [shard for shard in layout.shards if layout.is_done(["numbers"], shard)]
        for shard in there:
            assert np.array_equal(np.load(layout.file("numbers", shard)), expected[list(layout.rows(shard))])
        done.append(len(there))
        fill(layout, {"numbers": ((WIDTH,), np.int64)}, write, "")
        assert np.array_equal(numbers(layout), expected)
    assert any(0 < count < len(layouts[0].shards) for count in done)  # or no kill was in the middle


@pytest.mark.slow
def test_two_processes_share_the_work_and_one_does_what_is_left_of_the_other(tmp_path: Path) -> None:
    first, second = Worker(tmp_path), Worker(tmp_path)
    for worker in (first, second):
        assert worker.said() == "ready"
        worker.begin()
    while not (tmp_path / "log").exists():
        time.sleep(0.01)
    first.kill()
    assert [second.said(), second.said()] == ["begun", "done"]
    second.kill()
    layout = Layout(tmp_path, COUNT, 3)
    assert np.array_equal(numbers(layout)[:, 0], np.arange(COUNT))
    made = [int(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(set(made)) == [layout.rows(shard).start for shard in layout.shards]
    assert len(made) <= len(layout.shards) + 1  # the one that the killed process had just logged may be made again
