"""``captioner bulk`` as whoever types it meets it, and on a real Ray with a worker killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from captioner.__main__ import main
from tests.support.command_line import Run
from tests.support.pictures import small_photos

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
MARK = "BULK_TEST"  # an environment variable, by which a test knows its own processes
PATIENCE = 400  # seconds: minutes where other programs use the machine too


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photos, of which the fourth is broken."""
    return small_photos(tmp_path / "photos", 12, bad=(3,))


def rows(output: Path) -> list[dict[str, Any]]:
    lines = [line for path in sorted(output.glob("part-*")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


class Program:
    """The program in a process of its own."""

    def __init__(self, *arguments: object, tmp_path: Path, threads: int = 1) -> None:
        self.mark = uuid4().hex
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": str(threads),
            MARK: self.mark,
            "RAY_worker_niceness": "0",
        }
        environment.pop("RAY_ADDRESS", None)
        command = [sys.executable, "-m", "captioner", "bulk", *map(str, arguments)]
        self._told = tmp_path / f"{self.mark}.txt"
        with self._told.open("w") as told:
            # Whoever runs the tests in the background of a script has them ignore Ctrl-C, and all that they begin.
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                self.process = subprocess.Popen(command, env=environment, stdout=told, stderr=told, cwd=tmp_path)
            finally:
                signal.signal(signal.SIGINT, before)

    def ended(self) -> tuple[int, str]:
        return self.process.wait(PATIENCE), self._told.read_text()

    def others(self, name: str) -> list[int]:
        """Return the processes that this one began, directly or not, whose command line has a name in it."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_ours(pid, name)]

    def _is_ours(self, pid: int, name: str) -> bool:
        try:
            environment, command = (Path(f"/proc/{pid}/{file}").read_bytes() for file in ("environ", "cmdline"))
        except OSError:
            return False
        return pid != self.process.pid and f"{MARK}={self.mark}".encode() in environment and name.encode() in command


def wait_for(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_folder(run: Run, photos: Path, tmp_path: Path, small_checkpoint_file: Path) -> None:
    command = (
        "bulk",
        photos,
        tmp_path / "out",
        "--checkpoint",
        small_checkpoint_file,
        "--block-size",
        5,
        "--workers",
        1,
    )
    status, lines, told = run(*command)
    assert (status, lines) == (
        1,
        [f"{tmp_path / 'out'}: 12 photos in 3 shards; 1 could not be read, as their rows say"],
    )
    assert "workers: 1 on cpu" in told
    assert [Path(row["path"]).name for row in rows(tmp_path / "out")] == [f"{number:05}.png" for number in range(12)]
    status, again, told = run(*command)
    assert (status, again) == (1, lines)
    assert "going on: 12 of 12 photos are done" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "0"], "--workers is 0; it must be between 1 and 4096"),
        (["--batch-size", "0"], "batch_size is 0"),
        (["--beginning", "zebra"], "the model does not know 'zebra'"),
        (["--engine", "ray", "--device", "cuda:0"], "which is of one machine; on Ray it must be auto, cpu or cuda"),
    ],
)
def test_what_cannot_work_ends_before_any_work(
    options: list[str], message: str, photos: Path, tmp_path: Path, run: Run, small_checkpoint_file: Path
) -> None:
    status, _, told = run("bulk", photos, tmp_path / "out", "--checkpoint", small_checkpoint_file, *options)
    assert status == 2
    assert message in told
    assert not list((tmp_path / "out").glob("part-*"))


@pytest.mark.parametrize(("package", "options"), [("ray", ["--engine", "ray"]), ("pyarrow", ["--format", "parquet"])])
def test_an_extra_that_is_not_installed_is_named(
    package: str, options: list[str], run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    status, _, told = run("bulk", photos, tmp_path / "out", *options)
    assert status == 1
    assert "is not installed; pip install 'captioner[" in told


@pytest.mark.parametrize(("address", "told"), [("", "Ray did not start: too busy"), ("head:1", "Ray at head:1 is not")])
def test_a_ray_that_is_not_there_is_told(
    address: str, told: str, run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise Exception("too busy")

    monkeypatch.setattr(pytest.importorskip("ray"), "init", fail)
    monkeypatch.setenv("RAY_ADDRESS", address)
    status, _, complaint = run("bulk", photos, tmp_path / "out", "--engine", "ray")
    assert status == 1
    assert told in complaint


def test_neither_ray_nor_pyarrow_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, captioner.commands.bulk; print({name.split('.')[0] for name in sys.modules} & {'ray', 'pyarrow'})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout == "set()\n"


def test_killed_it_leaves_no_worker_and_goes_on(tmp_path: Path, small_checkpoint_file: Path) -> None:
    photos = small_photos(tmp_path / "photos", 400, bad=(7,))
    options = ("--checkpoint", small_checkpoint_file, "--block-size", 4, "--batch-size", 4)
    output = tmp_path / "out"
    program = Program(photos, output, *options, "--workers", 2, tmp_path=tmp_path)
    wait_for(lambda: len(list(output.glob("part-*"))) > 3)
    assert program.others("spawn")
    program.process.kill()
    program.process.wait()
    wait_for(lambda: not program.others("spawn"))
    done = {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")}
    assert 3 < len(done) < 100
    status, told = Program(photos, output, *options, "--workers", 2, tmp_path=tmp_path).ended()
    assert (status, "going on:" in told) == (1, True)
    assert {name: (output / name).stat().st_mtime_ns for name in done} == done
    assert Counter(Path(row["path"]).name for row in rows(output)) == Counter(path.name for path in photos.iterdir())


def test_ctrl_c_stops_it(tmp_path: Path, small_checkpoint_file: Path) -> None:
    photos = small_photos(tmp_path / "photos", 2000)
    output = tmp_path / "out"
    command = (photos, output, "--checkpoint", small_checkpoint_file, "--block-size", 4, "--workers", 1)
    program = Program(*command, tmp_path=tmp_path)
    wait_for(lambda: len(list(output.glob("part-*"))) > 1)
    program.process.send_signal(signal.SIGINT)
    status, told = program.ended()
    assert (status, "Traceback" in told) == (130, False)
    assert not program.others("spawn")


def test_a_worker_that_is_killed_ends_the_job_and_says_how_to_go_on(
    tmp_path: Path, small_checkpoint_file: Path
) -> None:
    photos, output = small_photos(tmp_path / "photos", 2000), tmp_path / "out"
    command = (photos, output, "--checkpoint", small_checkpoint_file, "--block-size", 4, "--workers", 1)
    program = Program(*command, tmp_path=tmp_path)
    wait_for(lambda: len(list(output.glob("part-*"))) > 1)
    [worker] = program.others("spawn_main")
    os.kill(worker, signal.SIGKILL)
    status, told = program.ended()
    assert status == 1
    assert "the same command goes on where it stopped" in told
    assert "Traceback" not in told


@pytest.fixture
def ray_of(tmp_path: Path, small_checkpoint_file: Path) -> Iterator[Any]:
    begun: list[Program] = []

    def begin(photos: Path, output: Path) -> Program:
        options = ("--checkpoint", small_checkpoint_file, "--block-size", 4, "--workers", 2, "--engine", "ray")
        begun.append(Program(photos, output, *options, tmp_path=tmp_path))
        return begun[-1]

    yield begin
    for program in begun:
        program.process.kill()
        program.process.wait()
        wait_for(lambda program=program: not program.others(""))


def test_a_worker_of_ray_is_killed_and_every_photo_is_there_once(
    ray_of: Any, tmp_path: Path, small_checkpoint_file: Path
) -> None:
    photos = small_photos(tmp_path / "photos", 400, bad=(5, 300))
    output, local = tmp_path / "out", tmp_path / "local"
    program = ray_of(photos, output)
    wait_for(lambda: len(list(output.glob("part-*"))) > 5)
    worker = program.others("ray::MapWorker")[0]
    os.kill(worker, signal.SIGKILL)
    status, told = program.ended()
    assert (status, "400 photos in 100 shards; 2 could not be read" in told) == (1, True), told
    found = rows(output)
    assert Counter(Path(row["path"]).name for row in found) == Counter(path.name for path in photos.iterdir())
    command = ["bulk", photos, local, "--checkpoint", small_checkpoint_file, "--block-size", 4, "--workers", 1]
    assert main(list(map(str, command))) == 1
    assert rows(local) == found
