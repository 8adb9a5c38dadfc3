import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import __main__ as cli
from captioner import __version__
from captioner.checkpoint import write_safetensors
from captioner.decoding import DecodingOptions
from captioner.errors import CheckpointError
from captioner.types import Caption, Word

ROOT = Path(__file__).parents[2]
ATTENTION = np.array([[[0.5, 0.25, 0.25]] * 2, [[0, 0, 0], [0, 1, 0]]], np.float32)  # [2, 2, 3]


class FakePredictor:
    """Calls every picture by its width, with captions that are worse and worse."""

    attention: Any = ATTENTION

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.options: list[DecodingOptions] = []
        self.checkpoint: Path | None = None

    def from_checkpoint(self, path: Path | None) -> "FakePredictor":
        self.checkpoint = path
        return self

    def captions(self, images: Sequence[Image.Image], options: DecodingOptions) -> list[list[Caption]]:
        self.batches.append(len(images))
        self.options.append(options)
        return [[self.caption(image.width, rank) for rank in range(options.num_captions)] for image in images]

    def caption(self, width: int, rank: int) -> Caption:
        words = (Word("width", -0.5), Word(str(width), -1.0 - rank))
        return Caption(f"width {width}", words, -2.0 - rank, self.attention, finished=True)


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> FakePredictor:
    fake = FakePredictor()
    monkeypatch.setattr(cli, "CaptionPredictor", fake)
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three photos, a text, a hidden file and a subfolder."""
    photos = tmp_path / "photos"
    (photos / "sub.jpg").mkdir(parents=True)
    for name, width in (("b.jpg", 20), ("a.PNG", 10), ("c.webp", 30)):
        Image.new("RGB", (width, 16)).save(photos / name)
    (photos / "notes.txt").write_text("no photo")
    (photos / "._b.jpg").write_bytes(b"metadata")
    Image.new("RGB", (40, 16)).save(photos / "sub.jpg" / "d.jpg")
    return photos


Outcome = tuple[int, list[str], str]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    status = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err


def test_a_photo(capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path) -> None:
    assert run(capsys, "caption", folder / "b.jpg") == (0, [f"{folder / 'b.jpg'}\twidth 20"], "")
    assert predictor.checkpoint is None
    assert predictor.options == [DecodingOptions()]


def test_options_reach_the_predictor(
    capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path
) -> None:
    options = ("--checkpoint", "model.st", "--beam-size", 3, "--num-captions", 2, "--max-length", 7)
    status, lines, _ = run(capsys, "caption", folder / "b.jpg", *options)
    assert status == 0
    assert [line.split("\t")[1:] for line in lines] == [["width 20", "-2.0000"], ["width 20", "-3.0000"]]
    assert predictor.options == [DecodingOptions(3, 2, 7)]
    assert predictor.checkpoint == Path("model.st")


def test_many_captions_widen_the_beam(
    capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path
) -> None:
    assert run(capsys, "caption", folder / "b.jpg", "--num-captions", 9)[0] == 0
    assert predictor.options == [DecodingOptions(beam_size=9, num_captions=9)]


def test_a_folder_stands_for_its_images_by_name(
    capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path
) -> None:
    status, lines, errors = run(capsys, "caption", folder)
    assert (status, errors) == (0, "")
    assert [line.split("\t")[1] for line in lines] == ["width 10", "width 20", "width 30"]


def test_a_folder_without_images(
    capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    status, lines, errors = run(capsys, "caption", tmp_path / "empty", folder / "b.jpg")
    assert (status, len(lines)) == (1, 1)
    assert "no images" in errors
    assert run(capsys, "caption", tmp_path / "empty")[:2] == (1, [])


def test_bad_files_are_reported_and_skipped(
    capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path
) -> None:
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff damaged")
    status, lines, errors = run(capsys, "caption", folder, folder / "notes.txt", folder / "missing.jpg")
    assert (status, len(lines)) == (1, 3)
    complaints = errors.splitlines()
    assert len(complaints) == 3
    for complaint, words in zip(complaints, ("bad.jpg: the JPEG", "notes.txt", "No such file"), strict=True):
        assert complaint.startswith("captioner: ")
        assert words in complaint


def test_nothing_but_bad_files(capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path) -> None:
    assert run(capsys, "caption", folder / "notes.txt")[:2] == (1, [])
    assert predictor.batches == []


def test_photos_are_captioned_in_batches(
    capsys: pytest.CaptureFixture[str], predictor: FakePredictor, tmp_path: Path
) -> None:
    for width in range(10, 29):
        Image.new("RGB", (width, 10)).save(tmp_path / f"{width}.bmp")
    status, lines, _ = run(capsys, "caption", tmp_path)
    assert (status, predictor.batches) == (0, [8, 8, 3])
    assert [line.split("\t")[1] for line in lines] == [f"width {width}" for width in range(10, 29)]


def test_json(capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path) -> None:
    _, lines, _ = run(capsys, "caption", folder, "--json", "--num-captions", 2)
    values = [json.loads(line) for line in lines]
    assert [Path(value["path"]).name for value in values] == ["a.PNG", "b.jpg", "c.webp"]
    assert values[1]["image"] == {"width": 20, "height": 16, "format": "JPEG"}
    assert values[1]["attention_grid"] == [2, 3]
    first, second = values[1]["captions"]
    assert (first["text"], first["log_prob"], second["log_prob"]) == ("width 20", -2.0, -3.0)
    assert first["words"] == [{"text": "width", "log_prob": -0.5}, {"text": "20", "log_prob": -1.0}]
    assert np.array_equal(first["attention"], ATTENTION)


def test_json_without_attention(capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path) -> None:
    predictor.attention = None
    value = json.loads(run(capsys, "caption", folder / "b.jpg", "--json")[1][0])
    assert value["attention_grid"] is value["captions"][0]["attention"] is None


def test_heatmap_of_one_photo(
    capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "map.png"
    assert run(capsys, "caption", folder / "b.jpg", "--heatmap", out)[0] == 0
    with Image.open(out) as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")
        assert sheet.width > 900


def test_heatmaps_of_a_folder(
    capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path, tmp_path: Path
) -> None:
    assert run(capsys, "caption", folder, "--heatmap", tmp_path / "maps")[0] == 0
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == ["a.PNG.png", "b.jpg.png", "c.webp.png"]


def test_heatmaps_that_would_lose_a_file_are_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path, tmp_path: Path
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
        status, lines, errors = run(capsys, "caption", *photos, "--heatmap", out)
        assert (status, lines) == (2, [])
        assert message in errors
    assert predictor.batches == []
    assert photo.read_bytes() == before


def test_heatmap_without_attention(
    capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path, tmp_path: Path
) -> None:
    predictor.attention = None
    status, _, errors = run(capsys, "caption", folder / "b.jpg", "--heatmap", tmp_path / "map.png")
    assert status == 2
    assert "no attention" in errors


@pytest.mark.parametrize(
    "arguments",
    [[], ["caption"], ["fly"], ["caption", "a.jpg", "--beam-size", "many"], ["inspect", "a", "b"]],
)
def test_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(arguments)
    assert raised.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_options_out_of_range(capsys: pytest.CaptureFixture[str], predictor: FakePredictor, folder: Path) -> None:
    status, _, errors = run(capsys, "caption", folder / "b.jpg", "--beam-size", 0)
    assert status == 2
    assert errors.startswith("captioner: beam_size is 0")


def raising(error: BaseException) -> Any:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "status"),
    [(CheckpointError("broken"), 1), (PermissionError("locked"), 1), (KeyboardInterrupt(), 130)],
)
def test_what_stops_the_work_gives_a_status(
    error: BaseException,
    status: int,
    capsys: pytest.CaptureFixture[str],
    predictor: FakePredictor,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictor, "captions", raising(error))
    found, lines, errors = run(capsys, "caption", folder)
    assert (found, lines) == (status, [])
    assert errors == (f"captioner: {error}\n" if str(error) else "")


def write_checkpoint(path: Path) -> None:
    header = {
        "format_version": 1,
        "config": {"image": {"size": 64}},
        "tokenizer": {"name": "word", "vocabulary": [f"word{index}" for index in range(5000)]},
        "provenance": {"name": "tiny"},
    }
    tensors = {"a": torch.zeros(3, 4), "b": torch.zeros(5), "c": torch.tensor(1.0)}
    write_safetensors(path, tensors, {key: json.dumps(value) for key, value in header.items()})


def test_inspect(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_checkpoint(path)
    status, lines, _ = run(capsys, "inspect", path)
    values = json.loads("\n".join(lines))
    assert status == 0
    assert values["parameters"] == math.prod((3, 4)) + 5 + 1
    assert values["file_bytes"] == path.stat().st_size
    assert values["config"] == {"image": {"size": 64}}
    assert values["tokenizer"]["vocabulary"]["size"] == 5000
    assert values["tokenizer"]["vocabulary"]["first"][:2] == ["word0", "word1"]
    assert len(lines) < 50


def test_inspect_what_is_no_checkpoint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"no checkpoint")
    for path in (tmp_path / "model", tmp_path / "missing"):
        status, lines, errors = run(capsys, "inspect", path)
        assert (status, lines) == (1, [])
        assert str(path) in errors


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(["--version"])
    assert raised.value.code == 0
    assert __version__ in capsys.readouterr().out


def test_a_closed_pipe_is_no_drama(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_checkpoint(path)
    reader, writer = os.pipe()
    os.close(reader)  # as when the output goes to a program that has ended
    command = [sys.executable, "-m", "captioner", "inspect", str(path)]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}  # so that something is left to write at the very end
    found = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, cwd=ROOT, env=buffered)
    os.close(writer)
    assert (found.returncode, found.stderr) == (141, b"")


def test_importing_the_package_is_light() -> None:
    code = "import sys, captioner; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
