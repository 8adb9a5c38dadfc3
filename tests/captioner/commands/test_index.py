"""``captioner index``, ``find`` and ``follow`` as whoever types them meets them."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from captioner.index.database import PhotoIndex
from captioner.index.follow import Arrivals
from captioner.metadata.xmp import Packet
from tests.support.command_line import NamedPredictor, Run, program
from tests.support.pictures import noise_image, small_photos

PATIENCE = 1800  # seconds: minutes where other programs use the machine too


def test_index_and_find(
    run: Run, folder: Path, named: NamedPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    status, lines, told = run("index", folder)
    assert (status, lines) == (0, [])
    assert "4 photos indexed, 0 as they were, 0 removed" in told
    assert (tmp_path / "data/captioner/photos.sqlite").exists()
    assert run("find", "width", "30")[:2] == (0, [f"{folder / 'c.webp'}\tv1 width 30"])
    status, [line], _ = run("find", "--json", "20")
    assert (status, json.loads(line)["path"], json.loads(line)["confidence"]) == (0, str(folder / "b.jpg"), 0.2)
    (folder / "c.webp").unlink()
    named.batches.clear()
    assert "0 photos indexed, 3 as they were, 1 removed" in run("index", folder)[2]
    assert named.batches == []
    assert run("find", "30") == (1, [], "captioner: nothing found\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "nowhere"], "nowhere: no such folder"),
        (["find", "a", "--index", "nowhere"], "nowhere: no such index"),
        (["find", "a", "--limit", "0"], "--limit is 0; it must be between 1 and 1000"),
        (["follow", ".", "--settled", "0"], "--settled is 0.0; it must be above 0 and at most 3600"),
    ],
)
def test_wrong_options(arguments: list[str], message: str, run: Run, named: NamedPredictor) -> None:
    status, _, told = run(*arguments)
    assert (status, message in told) == (2, True)


def test_without_watchdog(
    run: Run, folder: Path, named: NamedPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchdog.events", None)
    status, _, told = run("follow", folder, "--index", tmp_path / "index")
    assert (status, "pip install 'captioner[follow]'" in told) == (1, True)


class Clock:
    """Lets a follower end once a condition holds."""

    def __init__(self, condition: Callable[[], bool], step: Callable[[int], None] = lambda _: None) -> None:
        self.condition, self.step, self.looks = condition, step, 0

    def ready(self, arrivals: Arrivals) -> list[str]:
        self.step(self.looks)
        self.looks += 1
        assert self.looks < 2000
        if self.condition():
            raise KeyboardInterrupt
        return KEPT(arrivals)


KEPT = Arrivals.ready


def follow_until(run: Run, monkeypatch: pytest.MonkeyPatch, clock: Clock, *arguments: object) -> tuple[list[str], str]:
    monkeypatch.setattr(Arrivals, "ready", lambda self: clock.ready(self))  # noqa: PLW0108 - a function binds
    status, lines, told = run("follow", *arguments, "--settled", "0.3")
    assert status == 130
    return lines, told


@pytest.mark.slow
def test_follow_captions_what_arrives_once_it_is_whole_and_nothing_twice(
    run: Run, folder: Path, named: NamedPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, new = tmp_path / "index", tmp_path / "new.png"
    noise_image(1, 77).save(new)
    data = new.read_bytes()
    arrived = folder / "sub.jpg" / "new.png"

    def grow(look: int) -> None:
        if look < 5:
            with arrived.open("ab") as file:
                file.write(data[look * len(data) // 5 : (look + 1) * len(data) // 5])

    index = PhotoIndex(place, writable=True)
    clock = Clock(lambda: len(index) == 5, grow)
    lines, told = follow_until(run, monkeypatch, clock, folder, "--index", place, "--sidecar", "xmp")
    assert "4 photos, 4 of them new" in told
    assert sorted(line.split("\t")[0] for line in lines) == [
        "a.PNG",
        "b.jpg",
        "c.webp",
        "sub.jpg/d.jpg",
        "sub.jpg/new.png",
    ]
    assert "sub.jpg/new.png\tv1 width 77" in lines
    assert Packet((folder / "sub.jpg/new.png.xmp").read_bytes()).descriptions() == {"x-default": "v1 width 77"}

    named.batches.clear()
    noise_image(2, 88).save(folder / "while_away.png")
    (folder / "b.jpg").unlink()
    again = Clock(lambda: bool(index.find("88")), lambda look: (folder / "c.webp").unlink() if look == 1 else None)
    lines, _ = follow_until(run, monkeypatch, again, folder, "--index", place, "--sidecar", "xmp")
    assert (lines, sum(named.batches)) == (["while_away.png\tv1 width 88"], 1)
    assert "b.jpg" not in index.known(folder.resolve())


@pytest.mark.slow
def test_killed_while_it_indexes_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    photos, place, done = small_photos(tmp_path / "photos", 1000), tmp_path / "index.sqlite", 0
    index = PhotoIndex(place, writable=True)
    for _ in range(2):
        running, wanted = program("index", photos, "--index", place), done + 60
        while len(index) < wanted:
            assert running.poll() is None
            time.sleep(0.02)
        running.kill()
        running.wait()
        done = len(index)
        assert wanted <= done < 1000
    assert program("index", photos, "--index", place).wait(PATIENCE) == 0
    assert set(index.known(photos.resolve())) == {path.name for path in photos.iterdir()}
    whole = tmp_path / "whole.sqlite"
    assert program("index", photos, "--index", whole).wait(PATIENCE) == 0
    assert len(_captions(index)) == 1000
    assert _captions(index) == _captions(PhotoIndex(whole))


def _captions(index: PhotoIndex) -> dict[str, str]:
    return {hit.path: hit.caption for hit in index.find("png", 1000)}
