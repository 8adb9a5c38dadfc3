"""What a command line may name as photos, and where pictures of them may go."""

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from captioner.commands.output import shown
from captioner.predictor import CaptionPredictor
from tests.support.command_line import FakePredictor, Run


def picture(width: int, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, 16)).save(data, kind)
    return data.getvalue()


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes, *, terminal: bool = False) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: terminal))


def captions(lines: list[str]) -> list[str]:
    return [line.split("\t")[1] for line in lines]


def test_subfolders_are_searched_if_that_is_asked_for(run: Run, predictor: FakePredictor, folder: Path) -> None:
    (folder / "sub.jpg" / "deeper").mkdir()
    (folder / "sub.jpg" / "deeper" / "e.png").write_bytes(picture(50))
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "f.png").write_bytes(picture(60))
    status, lines, errors = run("caption", folder, "--recursive")
    assert (status, captions(lines)) == (0, [f"width {width}" for width in (10, 20, 30, 40, 50)])
    assert errors.splitlines() == [
        f"captioner: {folder}: 1 file skipped, of no format that is read (name one to be told more)"
    ]


def test_a_folder_whose_photos_are_further_down_says_how_to_reach_them(
    run: Run, predictor: FakePredictor, folder: Path
) -> None:
    status, lines, errors = run("caption", folder.parent)
    assert (status, lines) == (1, [])
    assert "no images in this folder; 1 subfolder not looked into (--recursive does)" in errors


def test_a_photo_is_told_by_its_first_bytes_where_its_name_says_nothing(
    run: Run, predictor: FakePredictor, tmp_path: Path
) -> None:
    for name, width in (("a.jfif", 10), ("b", 20), ("c.heic", 30)):
        (tmp_path / name).write_bytes(picture(width, "JPEG"))
    for name in ("d.tiff", "e.txt"):
        (tmp_path / name).write_bytes(b"II*\0 and more")
    (tmp_path / "f.log").touch()
    status, lines, errors = run("caption", tmp_path)
    assert (status, captions(lines)) == (0, ["width 10", "width 20", "width 30"])
    assert "3 files skipped" in errors


def test_pictures_of_subfolders_keep_to_their_folders(
    run: Run, predictor: FakePredictor, folder: Path, tmp_path: Path
) -> None:
    twin = folder / "sub.jpg" / "b.jpg"
    twin.write_bytes((folder / "b.jpg").read_bytes())
    out = tmp_path / "maps"
    assert run("caption", folder, "--recursive", "--heatmap", out)[0] == 0
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.png")} == {
        "a.PNG.png", "b.jpg.png", "c.webp.png", "sub.jpg/b.jpg.png", "sub.jpg/d.jpg.png",
    }  # fmt: skip


def test_standard_input_is_a_photo(
    run: Run, predictor: FakePredictor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, picture(70))
    status, lines, errors = run("caption", "-", folder / "b.jpg", "--heatmap", tmp_path / "maps")
    assert (status, lines, errors) == (0, ["-\twidth 70", f"{folder / 'b.jpg'}\twidth 20"], "")
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["b.jpg.png", "stdin.png"]
    pipe(monkeypatch, picture(70))
    assert json.loads(run("caption", "-", "--json")[1][0])["path"] == "-"


def test_standard_input_is_a_photo_of_every_command(
    run: Run, photo: Path, small_model: CaptionPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, photo.read_bytes())
    assert run("score", "-", "a dog") == run("score", photo, "a dog")
    pipe(monkeypatch, photo.read_bytes())
    assert run("units", "-", "--min-length", 3, "--out", tmp_path / "units.png")[0] == 0


def test_standard_input_that_holds_no_photo_is_told(
    run: Run, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, b"", terminal=True)
    status, lines, errors = run("caption", "-")
    assert (status, lines) == (1, [])
    assert errors.startswith("captioner: -: ")
    assert "terminal" in errors
    pipe(monkeypatch, b"text")
    status, lines, errors = run("caption", "-")
    assert (status, lines) == (1, [])
    assert "-: the file is not a supported image" in errors


@pytest.mark.parametrize("address", ["https://example.org/dog.jpg", "file:///tmp/dog.jpg", "s3://bucket/dog.jpg"])
def test_an_address_is_told_from_a_file(run: Run, predictor: FakePredictor, folder: Path, address: str) -> None:
    status, lines, errors = run("caption", address, folder / "b.jpg")
    assert (status, captions(lines)) == (1, ["width 20"])
    assert errors.startswith(f"captioner: {address}: this is an address")


@pytest.mark.parametrize("arguments", [("caption", "a.jpg", "--checkpoint"), ("inspect",)])
def test_a_model_s_address_is_told_from_a_file(
    run: Run, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(*arguments, "https://example.org/model.safetensors")
    assert "https://example.org/model.safetensors is an address" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_stay_in_their_column(run: Run, predictor: FakePredictor, tmp_path: Path) -> None:
    names = ["a\tb.png", "c\nd.png", "e\\n.png", "f\x1b[31m.png", "g\r.png", "h\u2028.png", os.fsdecode(b"i\xff.png")]
    for name in names:
        (tmp_path / name).write_bytes(picture(10))
    _, lines, _ = run("caption", tmp_path)
    written = ["a\\tb", "c\\nd", "e\\\\n", "f\\x1b[31m", "g\\r", "h\\u2028", "i\\udcff"]
    assert [line.split("\t") for line in lines] == [[f"{tmp_path}/{name}.png", "width 10"] for name in written]
    _, lines, _ = run("caption", tmp_path, "--json")
    assert [Path(json.loads(line)["path"]).name for line in lines] == names
    _, _, errors = run("caption", tmp_path / "missing\n.png")
    assert len(errors.splitlines()) == 1


def test_no_two_names_are_written_alike() -> None:
    names = ["a\nb", "a\\nb", "a\\\nb", "a\tb", "a\\tb", "a\\\\nb"]
    assert len({shown(name) for name in names}) == len(names)


@pytest.mark.parametrize(("command", "flag"), [("caption", "--heatmap"), ("units", "--out"), ("score", "--heatmap")])
def test_a_name_that_is_no_picture_s_is_refused_before_any_work(
    command: str, flag: str, run: Run, predictor: FakePredictor, photo: Path, tmp_path: Path
) -> None:
    texts = ["a dog"] if command == "score" else []
    (tmp_path / "file").touch()
    for out, message in (
        ("x.jpg", "must end in .png"),
        ("u.txt", "must end in .png"),
        ("maps.v2", "slash"),
        ("nowhere/x.png", "there is no folder"),
        ("nowhere/maps", "there is no folder"),
        ("file", "cannot be written"),
    ):
        before = sorted(tmp_path.rglob("*"))
        status, lines, errors = run(command, photo, *texts, flag, tmp_path / out)
        assert (status, lines, predictor.batches) == (2, [], [])
        assert f"{flag} {tmp_path / out}: " in errors
        assert message in errors
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can write")
def test_a_place_where_nothing_can_be_written_is_refused_before_any_work(
    run: Run, predictor: FakePredictor, photo: Path
) -> None:
    status, lines, errors = run("caption", photo, "--heatmap", "/proc/x.png")
    assert (status, lines, predictor.batches) == (2, [], [])
    assert "--heatmap /proc/x.png: it cannot be written: " in errors


def test_a_slash_makes_a_folder_of_any_name(run: Run, predictor: FakePredictor, photo: Path, tmp_path: Path) -> None:
    assert run("caption", photo, "--heatmap", f"{tmp_path}/maps.v2/")[0] == 0
    assert [path.name for path in (tmp_path / "maps.v2").iterdir()] == ["photo.png.png"]


def test_the_number_of_captions_is_told_with_its_true_range(run: Run, predictor: FakePredictor, photo: Path) -> None:
    for count in (0, 51):
        status, _, errors = run("caption", photo, "--num-captions", count)
        assert (status, f"num_captions is {count}; it must be between 1 and 50" in errors) == (2, True)
    assert run("caption", photo, "--num-captions", 50)[0] == 0
