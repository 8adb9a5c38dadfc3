"""Files that are whole whenever they are seen, whatever ends the process or the machine."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from captioner.checkpoint import Checkpoint, save_checkpoint
from captioner.files import ABANDONED, replacing, synchronise, write_whole

Event = tuple[str, str]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What is asked of the disk, in order: names that are synchronised, and names that are given."""
    noted: list[Event] = []
    fsync, rename = os.fsync, os.replace

    def synchronised(descriptor: int) -> None:
        noted.append(("fsync", Path(f"/proc/self/fd/{descriptor}").resolve().name))
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        noted.append(("replace", Path(target).name))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synchronised)
    monkeypatch.setattr(os, "replace", renamed)
    return noted


def assert_durable(events: list[Event], folder: Path, name: str) -> None:
    """Content first, then the name, then the list of names."""
    place = events.index(("replace", name))
    assert events[place - 1][0] == "fsync"
    assert events[place - 1][1].startswith(name)
    assert events[place + 1] == ("fsync", folder.name)


def test_content_reaches_the_disk_before_its_name(tmp_path: Path, events: list[Event]) -> None:
    write_whole(tmp_path / "new" / "note.json", "{}")
    assert_durable(events, tmp_path / "new", "note.json")
    assert len(events) == 3


def test_a_checkpoint_outlives_a_power_cut(small_checkpoint: Checkpoint, tmp_path: Path, events: list[Event]) -> None:
    save_checkpoint(small_checkpoint, tmp_path / "model.safetensors")
    assert_durable(events, tmp_path, "model.safetensors")


def test_many_files_are_synchronised_at_once(tmp_path: Path, events: list[Event]) -> None:
    files = [tmp_path / name for name in ("one", "two")]
    for file in files:
        with replacing(file, durable=False) as partial:
            partial.write_text("x")
    assert [kind for kind, _ in events] == ["replace"] * 2
    synchronise(files)
    assert events[2:] == [("fsync", "one"), ("fsync", "two"), ("fsync", tmp_path.name)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    file = tmp_path / "file"
    write_whole(file, b"old")

    def fail() -> None:
        with replacing(file) as partial:
            partial.write_bytes(b"half of the n")
            raise error

    with pytest.raises(error):
        fail()
    assert [*tmp_path.iterdir()] == [file]
    assert file.read_bytes() == b"old"


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    write_whole(tmp_path / "file", b"x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_what_a_killed_writer_left_is_removed_later(tmp_path: Path) -> None:
    file = tmp_path / "file"
    mine, others = tmp_path / "file.0123abcd.partial", tmp_path / "file.zip.partial"
    for leftover in (mine, others):
        leftover.touch()
    write_whole(file, b"x")
    assert mine.exists()  # its writer may be alive
    long_ago = time.time() - ABANDONED - 1
    for leftover in (mine, others):
        os.utime(leftover, (long_ago, long_ago))
    write_whole(file, b"x")
    assert sorted(tmp_path.iterdir()) == [file, others]


WRITER = """
import sys
from pathlib import Path
from captioner.files import write_whole

for _ in range(40):
    write_whole(Path(sys.argv[1]), sys.argv[2].encode() * 200_000)
"""


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    """Whoever looks sees what one of them wrote, and neither fails."""
    file = tmp_path / "file"
    write_whole(file, b"a" * 200_000)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(file), letter], env=environment) for letter in ("a", "b")
    ]
    while any(writer.poll() is None for writer in writers):
        content = file.read_bytes()
        assert (len(content), len(set(content))) == (200_000, 1)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [*tmp_path.iterdir()] == [file]
