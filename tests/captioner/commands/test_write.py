"""``captioner write`` as whoever types it meets it."""

import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner.files import ABANDONED
from captioner.metadata.record import Record
from captioner.metadata.sidecars import Sidecars
from captioner.metadata.xmp import Packet
from tests.support.command_line import NamedPredictor, Run, program
from tests.support.metadata import SCRIPTS, exiftool, properties
from tests.support.pictures import noise_image, small_photos

PATIENCE = 1800  # seconds: minutes where other programs use the machine too
HAND = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Description rdf:about="" dc:format="image/jpeg">{}'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool on the PATH")


def description(sidecar: Path) -> str | None:
    return Packet(sidecar.read_bytes()).descriptions().get("x-default")


def test_a_folder(run: Run, folder: Path, named: NamedPredictor) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    status, lines, told = run("write", folder)
    assert (status, lines) == (0, [f"{folder / 'b.jpg'}\tv1 width 20", f"{folder / 'c.webp'}\tv1 width 30"])
    assert told.endswith("captioner: 2 written, 1 left for review\n")
    assert (description(folder / "b.jpg.xmp"), description(folder / "c.webp.xmp")) == ("v1 width 20", "v1 width 30")
    assert not (folder / "a.PNG.xmp").exists()
    assert all(path.read_bytes() == data for path, data in before.items())


def test_again_it_does_nothing_and_another_model_does_its_own_again(
    run: Run, folder: Path, named: NamedPredictor
) -> None:
    run("write", folder, "--review", "mark")
    (folder / "b.jpg.xmp").write_text(HAND.format("<dc:description>by hand</dc:description>"))
    named.batches.clear()
    status, lines, told = run("write", folder, "--review", "mark")
    assert (status, lines, named.batches) == (0, [], [])
    assert "2 done before, 1 described by a person" in told
    named.info = replace(named.info, version="2")
    _, lines, told = run("write", folder, "--review", "mark")
    assert len(lines) == 2
    assert "files skipped" not in told.replace("1 file skipped", "")
    assert description(folder / "a.PNG.xmp") == "v2 width 10"
    record = Packet((folder / "a.PNG.xmp").read_bytes()).record()
    assert record == Record("v2 width 10", "fake", "2", "a" * 64, 0.1, True)
    assert description(folder / "b.jpg.xmp") == "by hand"


def test_a_person_s_description_is_replaced_on_demand_and_put_back(
    run: Run, folder: Path, named: NamedPredictor
) -> None:
    sidecar = folder / "b.jpg.xmp"
    sidecar.write_text(HAND.format(f"<dc:description>{SCRIPTS['Arabic']}</dc:description>"))
    assert "1 described by a person" in run("write", folder / "b.jpg")[2]
    assert "1 written" in run("write", folder / "b.jpg", "--replace")[2]
    assert description(sidecar) == "v1 width 20"
    assert "1 done before" in run("write", folder / "b.jpg", "--replace")[2]
    status, lines, told = run("write", folder, "--remove", "--dry-run")
    assert (status, lines) == (0, [str(folder / "b.jpg")])
    assert "dry run, nothing was changed: 1 removed, 2 without a caption of ours" in told
    assert description(sidecar) == "v1 width 20"
    run("write", folder, "--remove")
    assert description(sidecar) == SCRIPTS["Arabic"]
    assert b"image/jpeg" in sidecar.read_bytes()


def test_remove_leaves_no_trace(run: Run, folder: Path, named: NamedPredictor) -> None:
    before = sorted(folder.rglob("*"))
    (folder / "c.xmp").write_text(HAND.format(""))
    run("write", folder, "--recursive", "--review", "mark")
    assert description(folder / "c.xmp") == "v1 width 30"
    assert not (folder / "c.webp.xmp").exists()
    status, lines, _ = run("write", folder, "--recursive", "--remove")
    assert (status, len(lines)) == (0, 4)
    assert (folder / "c.xmp").read_text() == HAND.format("")
    assert sorted(folder.rglob("*")) == sorted([*before, folder / "c.xmp"])


def test_dry_run_changes_nothing(run: Run, folder: Path, named: NamedPredictor) -> None:
    before = {path: path.stat() for path in folder.rglob("*")}
    status, lines, told = run("write", folder, "--dry-run")
    assert (status, len(lines)) == (0, 2)
    assert "dry run, nothing was changed: 2 written, 1 left for review" in told
    assert {path: path.stat() for path in folder.rglob("*")} == before


def test_a_description_in_the_other_sidecar_or_the_photo_counts(run: Run, folder: Path, named: NamedPredictor) -> None:
    (folder / "b.xmp").write_text(HAND.format("<dc:description>raw and photo</dc:description>"))
    (folder / "b.cr2").write_bytes(b"raw")
    exif = Image.Exif()
    exif[0x010E] = "in the photo"
    noise_image(1).save(folder / "c.webp", exif=exif)
    _, lines, told = run("write", folder, "--review", "mark")
    assert [line.split("\t")[0] for line in lines] == [str(folder / "a.PNG")]
    assert "2 described by a person" in told


def test_names_by_stem_are_not_shared(run: Run, folder: Path, named: NamedPredictor) -> None:
    noise_image(2, 50).save(folder / "b.png")
    status, lines, told = run("write", folder, "--naming", "stem")
    assert (status, lines) == (1, [f"{folder / 'c.webp'}\tv1 width 30"])
    assert told.count("b.xmp would be that of another file, too") == 2
    assert description(folder / "c.xmp") == "v1 width 30"


@pytest.mark.parametrize("content", ["<a>", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', ""])
def test_a_sidecar_that_cannot_be_read_is_left(content: str, run: Run, folder: Path, named: NamedPredictor) -> None:
    (folder / "b.jpg.xmp").write_text(content)
    status, lines, told = run("write", folder)
    assert (status, len(lines)) == (1, 1)
    assert f"{folder / 'b.jpg'}: b.jpg.xmp: its XMP" in told
    assert (folder / "b.jpg.xmp").read_text() == content


def test_a_folder_that_nothing_can_be_written_to(
    run: Run, folder: Path, named: NamedPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Sidecars, "write", full)
    status, lines, told = run("write", folder)
    assert (status, lines) == (1, [])
    assert f"{folder / 'b.jpg'}: No space left on device" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-"], "- is standard input"),
        (["--embed", "--naming", "full"], "--naming is of sidecars"),
        (["--keep-times"], "--keep-times is of photos"),
        (["--beam-size", "0"], "beam_size is 0"),
    ],
)
def test_wrong_options(options: list[str], message: str, run: Run, folder: Path, named: NamedPredictor) -> None:
    status, _, told = run("write", folder, *options)
    assert status == 2
    assert message in told


def test_without_exiftool_that_is_said_before_any_work(
    run: Run, folder: Path, named: NamedPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("captioner.metadata.exiftool.shutil.which", lambda _: None)
    status, _, told = run("write", folder, "--embed")
    assert (status, named.batches) == (1, [])
    assert "apt-get install libimage-exiftool-perl" in told
    assert run("write", folder / "c.webp", "--embed")[0] == 0
    assert not list(folder.glob("*.xmp"))


@needs_exiftool
@pytest.mark.parametrize("script", SCRIPTS)
def test_exiftool_reads_sidecars_and_photos_in_every_script(
    script: str, run: Run, folder: Path, named: NamedPredictor
) -> None:
    named.text = SCRIPTS[script]
    title = f'<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{SCRIPTS[script]}!</rdf:li></rdf:Alt></dc:title>'
    (folder / "b.jpg.xmp").write_text(HAND.format(title), encoding="utf-8")
    before = properties((folder / "b.jpg.xmp").read_bytes())
    run("write", folder, "--review", "mark")
    run("write", folder, "--review", "mark", "--embed")
    found = exiftool(folder / "b.jpg.xmp")
    assert (found["XMP-dc:Description"], found["XMP-dc:Title"]) == (SCRIPTS[script], f"{SCRIPTS[script]}!")
    assert before.items() <= properties((folder / "b.jpg.xmp").read_bytes()).items()
    for name in ("a.PNG", "b.jpg", "c.webp"):
        assert exiftool(folder / name)["XMP-dc:Description"] == SCRIPTS[script]


@needs_exiftool
def test_a_sidecar_that_exiftool_wrote_again_is_still_understood(run: Run, folder: Path, named: NamedPredictor) -> None:
    run("write", folder / "b.jpg")
    sidecar = folder / "b.jpg.xmp"
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-XMP-dc:Title=by hand", str(sidecar)], check=True)
    assert b"exiftool" in sidecar.read_bytes().lower()
    assert "1 done before" in run("write", folder / "b.jpg")[2]
    run("write", folder / "b.jpg", "--remove")
    left = exiftool(sidecar)
    assert left["XMP-dc:Title"] == "by hand"
    assert not [name for name in left if "captioner" in name.lower() or "Description" in name]


def test_what_killed_writers_left_is_removed_once_it_is_old(run: Run, folder: Path, named: NamedPredictor) -> None:
    old, young, other = (
        folder / name for name in ("b.jpg.0123abcd.partial", "c.webp.xmp.0123abcd.partial", "d.partial")
    )
    for path in (old, young, other):
        path.write_bytes(b"half")
    os.utime(old, (1, time.time() - ABANDONED - 60))
    os.utime(other, (1, 1))
    run("write", folder)
    assert (old.exists(), young.exists(), other.exists()) == (False, True, True)


def contents(photos: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in photos.iterdir() if path.suffix != ".partial"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [(), pytest.param(("--embed",), marks=needs_exiftool)], ids=["sidecars", "embedded"]
)
def test_killed_in_the_middle_of_a_thousand_photos_it_loses_and_doubles_nothing(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    photos, undisturbed = small_photos(tmp_path / "photos", 1000), tmp_path / "undisturbed"
    shutil.copytree(photos, undisturbed)
    assert program("write", undisturbed, *options).wait(PATIENCE) == 0
    pictures, whole, done, random = contents(photos), contents(undisturbed), 0, np.random.default_rng(5)
    for _ in range(3):
        running, wanted = program("write", photos, *options), done + int(random.integers(50, 250))
        while _changed(photos, pictures) < wanted:
            assert running.poll() is None
            time.sleep(0.02)
        running.kill()
        running.wait()
        done = _changed(photos, pictures)
        assert wanted <= done < 1000
        assert all(data in (whole[name], pictures.get(name)) for name, data in contents(photos).items())
    assert program("write", photos, *options).wait(PATIENCE) == 0
    assert contents(photos) == whole
    assert len(whole) == (1000 if options else 2000)


def _changed(photos: Path, before: dict[str, bytes]) -> int:
    """Return how many captions there are, by names and sizes alone."""
    sizes = {name: len(data) for name, data in before.items()}
    return sum(path.stat().st_size != sizes.get(path.name, 0) for path in photos.iterdir() if path.suffix != ".partial")
