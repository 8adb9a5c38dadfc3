import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

from captioner.decoding import DecodingOptions
from captioner.errors import CheckpointError
from captioner.heatmap import contact_sheet
from captioner.images import read_image
from captioner.predictor import CaptionPredictor
from captioner.types import Caption
from tests.support.command_line import FakePredictor, Run
from tests.support.pictures import noise_image


def test_a_photo(run: Run, predictor: FakePredictor, folder: Path) -> None:
    assert run("caption", folder / "b.jpg") == (0, [f"{folder / 'b.jpg'}\twidth 20"], "")
    assert predictor.checkpoint is None
    assert predictor.options == [DecodingOptions()]


def test_captions_that_are_all_empty_are_warned_of(
    run: Run, predictor: FakePredictor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = Caption("", (), -1.0, predictor.attention, finished=True)
    spoken = Caption("words", (), -1.0, predictor.attention, finished=True)
    monkeypatch.setattr(predictor, "_caption", lambda width, *_: spoken if width == 20 else empty)  # that of b.jpg
    assert "WARNING: every caption is empty" in run("caption", folder / "a.PNG", folder / "c.webp")[2]
    assert "WARNING" not in run("caption", folder)[2]


def test_options_reach_the_predictor(run: Run, predictor: FakePredictor, folder: Path) -> None:
    options = ("--checkpoint", "model.st", "--beam-size", 3, "--num-captions", 2, "--max-length", 7)
    status, lines, _ = run("caption", folder / "b.jpg", *options)
    assert status == 0
    assert [line.split("\t")[1:] for line in lines] == [["width 20", "-2.0000"], ["width 20", "-3.0000"]]
    assert predictor.options == [DecodingOptions(3, 2, 7)]
    assert predictor.checkpoint == Path("model.st")


def test_a_folder_stands_for_its_images_by_name(run: Run, predictor: FakePredictor, folder: Path) -> None:
    status, lines, errors = run("caption", folder)
    assert status == 0
    [skipped] = errors.splitlines()
    assert f"{folder}: 1 file skipped" in skipped
    assert "1 subfolder not looked into (--recursive does)" in skipped
    assert [line.split("\t")[1] for line in lines] == ["width 10", "width 20", "width 30"]


def test_a_folder_without_images(run: Run, predictor: FakePredictor, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, lines, errors = run("caption", tmp_path / "empty", folder / "b.jpg")
    assert (status, len(lines)) == (1, 1)
    assert "no images" in errors
    assert run("caption", tmp_path / "empty")[:2] == (1, [])


def test_bad_files_are_reported_and_skipped(run: Run, predictor: FakePredictor, folder: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff damaged")
    status, lines, errors = run("caption", folder, folder / "notes.txt", folder / "missing.jpg")
    assert (status, len(lines)) == (1, 3)
    skipped, *complaints = errors.splitlines()
    assert "skipped" in skipped
    assert len(complaints) == 3
    for complaint, words in zip(complaints, ("bad.jpg: the JPEG", "notes.txt", "No such file"), strict=True):
        assert complaint.startswith("captioner: ")
        assert words in complaint


def test_nothing_but_bad_files(run: Run, predictor: FakePredictor, folder: Path) -> None:
    assert run("caption", folder / "notes.txt")[:2] == (1, [])
    assert predictor.batches == []


def test_photos_are_captioned_in_batches(run: Run, predictor: FakePredictor, tmp_path: Path) -> None:
    for width in range(10, 29):
        Image.new("RGB", (width, 10)).save(tmp_path / f"{width}.bmp")
    status, lines, _ = run("caption", tmp_path)
    assert (status, predictor.batches) == (0, [8, 8, 3])
    assert [line.split("\t")[1] for line in lines] == [f"width {width}" for width in range(10, 29)]


def test_json(run: Run, predictor: FakePredictor, folder: Path) -> None:
    _, lines, _ = run("caption", folder, "--json", "--num-captions", 2)
    values = [json.loads(line) for line in lines]
    assert [Path(value["path"]).name for value in values] == ["a.PNG", "b.jpg", "c.webp"]
    assert values[1]["image"] == {"width": 20, "height": 16, "format": "JPEG"}
    assert values[1]["attention_grid"] == [2, 3]
    first, second = values[1]["captions"]
    assert (first["text"], first["log_prob"], second["log_prob"]) == ("width 20", -2.0, -3.0)
    assert first["words"] == [
        {"text": "width", "log_prob": -0.5, "known": True, "confidence": None},
        {"text": "20", "log_prob": -1.0, "known": True, "confidence": None},
    ]
    assert np.array_equal(first["attention"], predictor.attention)
    assert "activations" not in first


def test_a_large_photo_is_captioned_reduced_and_drawn_in_full(
    run: Run, small_model: CaptionPredictor, tmp_path: Path
) -> None:
    path = tmp_path / "large.jpg"
    noise_image(3, 800, 600).save(path)
    assert small_model.read(path.read_bytes()).image.size == (64, 64)
    found = small_model.caption(path.read_bytes())
    value = json.loads(run("caption", path, "--json", "--heatmap", tmp_path / "map.png")[1][0])
    assert value["image"] == {"width": 800, "height": 600, "format": "JPEG"}
    assert (value["captions"][0]["text"], value["captions"][0]["log_prob"]) == (found.text, found.log_prob)
    expected = contact_sheet(read_image(path.read_bytes()), found)
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / "map.png").convert("RGB")), np.asarray(expected.convert("RGB"))
    )


def test_activations_and_attention_are_rounded(run: Run, predictor: FakePredictor, folder: Path) -> None:
    predictor.attention = np.full((2, 1, 3), 1 / 3, np.float32)
    value = json.loads(run("caption", folder / "b.jpg", "--json", "--activations")[1][0])["captions"][0]
    assert value["activations"] == {"language.0.cell": [[0.3333], [-2.0]]}
    assert value["attention"] == [[[0.333333] * 3]] * 2


def test_activations_without_json_are_refused(run: Run, predictor: FakePredictor, folder: Path) -> None:
    status, lines, errors = run("caption", folder / "b.jpg", "--activations")
    assert (status, lines, predictor.batches) == (2, [], [])
    assert "--json" in errors


def test_json_without_attention(run: Run, predictor: FakePredictor, folder: Path) -> None:
    predictor.attention = None
    value = json.loads(run("caption", folder / "b.jpg", "--json")[1][0])
    assert value["attention_grid"] is value["captions"][0]["attention"] is None


def test_heatmap_of_one_photo(run: Run, predictor: FakePredictor, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.png"
    assert run("caption", folder / "b.jpg", "--heatmap", out)[0] == 0
    with Image.open(out) as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")
        assert sheet.width > 900


def test_heatmaps_of_a_folder(run: Run, predictor: FakePredictor, folder: Path, tmp_path: Path) -> None:
    assert run("caption", folder, "--heatmap", tmp_path / "maps")[0] == 0
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == ["a.PNG.png", "b.jpg.png", "c.webp.png"]


def test_heatmaps_that_would_lose_a_file_are_refused_before_any_work(
    run: Run, predictor: FakePredictor, folder: Path, tmp_path: Path
) -> None:
    twin = tmp_path / "b.jpg"
    twin.write_bytes((folder / "b.jpg").read_bytes())
    photo = folder / "a.PNG"
    before = photo.read_bytes()
    for photos, out, message in (
        ([folder], tmp_path / "map.png", "one file"),
        ([photo], folder / ".." / "photos" / "a.PNG", "overwritten"),
        ([folder / "b.jpg", twin], tmp_path / "maps", "same name"),
    ):
        status, lines, errors = run("caption", *photos, "--heatmap", out)
        assert (status, lines) == (2, [])
        assert message in errors
    assert predictor.batches == []
    assert photo.read_bytes() == before


def test_heatmap_of_a_model_that_does_not_attend_is_refused_before_any_work(
    run: Run, predictor: FakePredictor, folder: Path, tmp_path: Path
) -> None:
    predictor.attends = False
    status, lines, errors = run("caption", folder / "b.jpg", "--heatmap", tmp_path / "map.png")
    assert (status, lines, predictor.batches) == (2, [], [])
    assert "does not attend" in errors


def test_options_out_of_range(run: Run, predictor: FakePredictor, folder: Path) -> None:
    status, _, errors = run("caption", folder / "b.jpg", "--beam-size", 0)
    assert status == 2
    assert errors.startswith("captioner: beam_size is 0")


def raising(error: BaseException) -> Any:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "status"),
    [(CheckpointError("broken"), 1), (PermissionError("locked"), 1), (KeyboardInterrupt(), 130)],
)
def test_what_stops_the_work_gives_a_status(
    error: BaseException,
    status: int,
    run: Run,
    predictor: FakePredictor,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictor, "captions", raising(error))
    found, lines, errors = run("caption", folder / "b.jpg")
    assert (found, lines) == (status, [])
    assert errors == (f"captioner: {error}\n" if str(error) else "")


def test_where_the_model_computes_is_said_if_somebody_asked(run: Run, predictor: FakePredictor, folder: Path) -> None:
    assert run("caption", folder / "b.jpg")[2] == ""
    status, _, complaints = run("caption", folder / "b.jpg", "--device", "mps")
    assert (status, complaints) == (0, "captioner: the model runs on mps\n")


@pytest.mark.parametrize("command", ["caption", "score", "units"])
def test_a_device_that_is_none_is_refused(command: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(command, "a.jpg", "--device", "gpu")
    assert "device is 'gpu'; it must be auto, cpu, cuda, cuda:N or mps" in capsys.readouterr().err


def test_a_device_that_is_not_there(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, _, complaints = run("caption", folder / "b.jpg", "--device", "cuda")
    assert status == 2
    assert complaints.startswith("captioner: device is cuda (cuda:0), which is not there; this machine has cpu")
