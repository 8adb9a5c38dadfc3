"""What a bulk job promises: the rows are those of the library, and no crash loses or repeats one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow import dataset

from captioner.bulk.folder import BlockRef, BlockReport
from captioner.bulk.job import BulkInputs, BulkJob, BulkOptions, BulkTask
from captioner.bulk.local import local_engine
from captioner.bulk.worker import BlockCaptioner
from captioner.errors import CheckpointError, OptionError
from captioner.predictor import CaptionPredictor
from tests.captioner.bulk.conftest import BAD, Jobs

ROOT = Path(__file__).parents[3]


def in_turn(task: BulkTask, blocks: Iterable[BlockRef]) -> Iterator[BlockReport]:
    """The engine of this process alone."""
    return map(BlockCaptioner(task), blocks)


def rows(output: Path) -> list[dict[str, Any]]:
    """Read all rows; Parquet as a reader of data sets does, which knows nothing of our names."""
    if files := sorted(output.glob("part-*.jsonl")):
        parts = [path.read_text(encoding="utf-8") for path in files]
        found = [json.loads(line) for line in "".join(parts).splitlines()]
    else:
        found = dataset.dataset(output, format="parquet").to_table().to_pylist()
    return sorted(found, key=lambda row: str(row["path"]))


def shards(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.glob("part-*")}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_rows_are_what_the_library_says_of_each_photo(form: str, jobs: Jobs, photos: Path, tmp_path: Path) -> None:
    task = jobs.task(tmp_path / "out", jobs.options(form, attention=True))
    reports = list(jobs.job(task, photos).run(in_turn))
    assert [(one.block, one.photos) for one in reports] == [(number, 4) for number in range(6)]
    assert sum(one.errors for one in reports) == len(BAD)
    predictor = CaptionPredictor.from_checkpoint(jobs.checkpoint)
    found = rows(tmp_path / "out")
    assert [Path(row["path"]) for row in found] == sorted(photos.iterdir())
    for number, row in enumerate(found):
        if number in BAD:
            assert "damaged" in row["error"]
            assert {row[name] for name in row if name not in ("path", "error")} == {None}
            continue
        caption = predictor.caption(Path(row["path"]).read_bytes())
        assert (row["error"], row["caption"]) == (None, caption.text)
        assert [word["text"] for word in row["words"]] == [word.text for word in caption.words]
        assert row["log_prob"] == pytest.approx(caption.log_prob, abs=1e-4)
        assert caption.attention is not None
        np.testing.assert_allclose(np.reshape(row["attention"], caption.attention.shape), caption.attention, atol=1e-4)


def test_both_forms_hold_the_same(jobs: Jobs, photos: Path, tmp_path: Path) -> None:
    for form in ("jsonl", "parquet"):
        list(jobs.job(jobs.task(tmp_path / form, jobs.options(form)), photos).run(in_turn))
    assert rows(tmp_path / "jsonl") == rows(tmp_path / "parquet")


@pytest.mark.slow
def test_processes_make_the_shards_that_one_makes(jobs: Jobs, photos: Path, tmp_path: Path) -> None:
    for name, engine in (("one", in_turn), ("two", local_engine(["cpu", "cpu"], 2))):
        list(jobs.job(jobs.task(tmp_path / name, jobs.options()), photos).run(engine))
    assert shards(tmp_path / "two") == shards(tmp_path / "one")


def test_what_is_done_is_not_done_again(jobs: Jobs, photos: Path, tmp_path: Path) -> None:
    task = jobs.task(tmp_path / "out", jobs.options())
    list(islice(jobs.job(task, photos).run(in_turn), 2))
    done = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in shards(tmp_path / "out")}
    assert len(done) == 2
    again = jobs.job(task, photos)
    assert sorted(again.done) == [0, 1]
    assert [report.block for report in again.run(in_turn)] == [2, 3, 4, 5]
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in done} == done
    assert list(jobs.job(task, photos).run(in_turn)) == []


def test_a_shard_whose_worker_could_not_report_is_counted_and_kept(jobs: Jobs, photos: Path, tmp_path: Path) -> None:
    for form in ("jsonl", "parquet"):
        task = jobs.task(tmp_path / form, jobs.options(form))
        reports = list(jobs.job(task, photos).run(in_turn))
        before = shards(tmp_path / form)
        (tmp_path / form / "_journal.jsonl").write_text('{"block": 0, "photos": 4, "errors": 1}\n{"block": 1, "pho')
        assert list(jobs.job(task, photos).run(in_turn)) == reports[1:]
        assert shards(tmp_path / form) == before
        assert sorted(jobs.job(task, photos).done) == list(range(6))


def test_a_shard_that_is_gone_is_made_again(jobs: Jobs, photos: Path, tmp_path: Path) -> None:
    task = jobs.task(tmp_path / "out", jobs.options())
    list(jobs.job(task, photos).run(in_turn))
    before = shards(tmp_path / "out")
    (tmp_path / "out" / "part-000003.jsonl").unlink()
    assert [report.block for report in jobs.job(task, photos).run(in_turn)] == [3]
    assert shards(tmp_path / "out") == before


def test_the_photos_are_those_of_the_beginning(jobs: Jobs, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "bdf":
        Image.new("RGB", (16, 16)).save(folder / f"{name}.png")
    task = jobs.task(tmp_path / "out", jobs.options(block_size=2))
    list(islice(jobs.job(task, folder).run(in_turn), 1))
    Image.new("RGB", (16, 16)).save(folder / "a.png")
    (folder / "f.png").unlink()
    list(jobs.job(task, folder).run(in_turn))
    found = [(Path(row["path"]).name, row["error"]) for row in rows(tmp_path / "out")]
    assert found == [("b.png", None), ("d.png", None), ("f.png", "No such file or directory")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": True}, "attention was False and is True"),
        ({"block_size": 5}, "block_size was 4 and is 5"),
        ({"batch_size": 4}, "batch_size was 3 and is 4"),
    ],
)
def test_a_folder_of_other_rows_is_left_alone(
    changes: dict[str, Any], message: str, jobs: Jobs, photos: Path, tmp_path: Path
) -> None:
    list(jobs.job(jobs.task(tmp_path / "out", jobs.options()), photos).run(in_turn))
    with pytest.raises(OptionError, match=message):
        jobs.job(jobs.task(tmp_path / "out", jobs.options(**changes)), photos)
    with pytest.raises(OptionError, match=r"inputs was .* and is"):
        jobs.job(jobs.task(tmp_path / "out", jobs.options()), photos, photos)


def test_a_model_that_was_replaced_meanwhile_is_not_used(jobs: Jobs, photos: Path, tmp_path: Path) -> None:
    task = BulkTask(str(tmp_path / "out"), str(jobs.checkpoint), "0" * 64, jobs.options())
    job = BulkJob(task, BulkInputs((str(photos),)), jobs.info)
    with pytest.raises(CheckpointError, match="another model now"):
        list(job.run(in_turn))
    assert shards(tmp_path / "out") == {}


def test_a_folder_of_something_else_is_left_alone(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with (
        pytest.raises(OptionError, match=r"holds other files, such as letter.txt"),
        jobs.task(tmp_path, jobs.options()).folder.locked(),
    ):
        pass
    assert os.listdir(tmp_path) == ["letter.txt"]


def test_one_job_at_a_time(jobs: Jobs, tmp_path: Path) -> None:
    folder = jobs.task(tmp_path / "out", jobs.options()).folder
    with folder.locked():
        other = jobs.task(tmp_path / "out", jobs.options()).folder
        with pytest.raises(OptionError, match="another process is at work"), other.locked():
            pass
    with folder.locked():
        pass


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"form": "xml"}, "format is 'xml'; it must be jsonl or parquet"),
        ({"batch_size": 0}, "batch_size is 0; it must be between 1 and 1024"),
        ({"block_size": 0}, "block_size is 0"),
    ],
)
def test_options_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        BulkOptions(**values)


@pytest.mark.slow
def test_no_more_blocks_are_on_their_way_than_workers_need(jobs: Jobs, photos: Path, tmp_path: Path) -> None:
    """So that memory stays flat: what is listed and not asked for is on the disk."""
    job = jobs.job(jobs.task(tmp_path / "out", jobs.options(block_size=1)), photos)
    engine, asked = local_engine(["cpu"], 1), []

    def watched(task: BulkTask, blocks: Iterable[BlockRef]) -> Iterator[BlockReport]:
        return engine(task, (asked.append(block) or block for block in blocks))  # type: ignore[func-returns-value]

    for reported, _ in enumerate(job.run(watched), start=1):
        assert len(asked) <= reported + 2
    assert len(asked) == 24


# A process that has all imported, and makes a child for each job, so that a try takes no seconds. A line is an output
# and the seconds after which the child is killed; the answer is its exit status and how long it took.
JOB = """
import os, signal, sys, time
from captioner.bulk.job import BulkInputs, BulkJob, BulkOptions, BulkTask
from captioner.bulk.worker import BlockCaptioner
from captioner.predictor import ModelInfo

checkpoint, sha256, photos = sys.argv[1:]

def work(output):
    task = BulkTask(output, checkpoint, sha256, BulkOptions(batch_size=3, block_size=1))
    with task.folder.locked():
        job = BulkJob(task, BulkInputs((photos,)), ModelInfo("", ""))
        for report in job.run(lambda task, blocks: map(BlockCaptioner(task), blocks)):
            pass

for line in sys.stdin:
    output, patience = line.split()
    begun = time.monotonic()
    child = os.fork()
    if not child:
        work(output)
        os._exit(0)
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < begun + float(patience):
        time.sleep(0.001)
    if not ended[0]:
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(ended[1]), time.monotonic() - begun, flush=True)
"""


class Tries:
    """Does jobs in processes that may be killed."""

    def __init__(self, jobs: Jobs, photos: Path) -> None:
        command = [sys.executable, "-c", JOB, str(jobs.checkpoint), jobs.sha256, str(photos)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._parent = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def once(self, output: Path, patience: float = 600) -> tuple[int, float]:
        """Do a job once, killed after so many seconds; return the exit status and how long it took."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        print(output, patience, file=self._parent.stdin, flush=True)
        status, seconds = self._parent.stdout.readline().split()
        return int(status), float(seconds)

    def close(self) -> None:
        self._parent.communicate()


@pytest.fixture
def tries(jobs: Jobs, photos: Path) -> Iterator[Tries]:
    made = Tries(jobs, photos)
    yield made
    made.close()


@pytest.mark.slow
def test_killed_at_any_moment_and_begun_again_it_makes_what_an_undisturbed_run_makes(
    tries: Tries, tmp_path: Path
) -> None:
    random, killed, jobs = Random(0), 0, 0  # noqa: S311 - moments, no secrets
    status, seconds = tries.once(tmp_path / "undisturbed")
    expected = shards(tmp_path / "undisturbed")
    assert (status, len(expected)) == (0, 24)
    while killed < 20:
        output, kills = tmp_path / str(jobs), 0
        while tries.once(output, random.uniform(0, seconds))[0] == -signal.SIGKILL:
            kills += 1
            assert shards(output).items() <= expected.items()  # what is there is whole
        assert shards(output) == expected
        assert len(rows(output)) == 24
        killed, jobs = killed + kills, jobs + 1
