"""The commands around language models."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.language_models import RHYME, random_model
from training.__main__ import main
from training.language.model import save_language_model

RECIPE = """
name = "rhyme"
[text]
root = "{folder}"
files = ["rhyme.txt"]
[tokenizer]
name = "character"
min_count = 1
[decoder]
name = "conditioned"
embedding_size = 4
hidden_size = 6
[training]
epochs = 2
streams = 2
chunk = 50
[samples]
length = 10
"""


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    save_language_model(random_model(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def picture(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_a_model_is_fitted_resumed_and_sampled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rhyme.txt").write_text(4 * RHYME)
    (tmp_path / "rhyme.toml").write_text(RECIPE.format(folder=tmp_path))
    fit = ["fit-text", "--recipe", str(tmp_path / "rhyme.toml"), "--set", f"runs={tmp_path}", "--set", "seed=3"]
    assert main(fit) == 0
    assert "the best epoch is 2" in capsys.readouterr().out
    assert main(fit) == 1
    assert "already holds a run" in capsys.readouterr().err
    assert main(["fit-text", "--resume", str(tmp_path / "rhyme")]) == 0
    assert main(["fit-text", "--resume", str(tmp_path / "rhyme"), "--set", "seed=2"]) == 1
    capsys.readouterr()
    sample = ["sample", str(tmp_path / "rhyme" / "best.safetensors"), "--beginning", "row", "--length", "7"]
    assert main([*sample, "--seed", "1", "--count", "2"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert [len(line) for line in lines] == [10, 0, 10, 0]
    assert lines[0].startswith("row")


def test_bad_samples_are_an_error(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(model_file), "--temperature", "0"]) == 1
    assert "error: temperature is 0.0" in capsys.readouterr().err


def test_units_are_drawn_and_listed(model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawing = tmp_path / "units.png"
    units = ["units", str(model_file), "--text", "row your boat", "--out", str(drawing)]
    assert main(units) == 0
    listed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in listed if line[0].endswith("hidden")] == [
        ["language.0.hidden", "10"],
        ["language.1.hidden", "10"],
    ]
    assert [line[0] for line in listed if len(line) == 3] == ["language.1.hidden"]
    most = picture(drawing).shape
    assert main([*units, "--unit", "language.0.forget:3", "language.1.cell:0", "--unit", "language.0.input:1"]) == 0
    assert picture(drawing).shape[0] < most[0]
    assert main([*units, "--unit", "language.7.cell:0"]) == 1
    assert "no activation is called 'language.7.cell'" in capsys.readouterr().err


def test_units_of_a_file_of_text(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "rhyme.txt").write_text(RHYME)
    drawings = []
    for number, source in enumerate((["--text-file", str(tmp_path / "rhyme.txt")], ["--text", RHYME])):
        drawing = tmp_path / f"{number}.png"
        assert main(["units", str(model_file), *source, "--out", str(drawing)]) == 0
        drawings.append(picture(drawing))
    np.testing.assert_array_equal(drawings[0], drawings[1])
    assert main(["units", str(model_file), "--text-file", "nowhere.txt", "--out", str(tmp_path / "x.png")]) == 1


def test_gradients_are_printed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawing = tmp_path / "gradients.png"
    sizes = ["--steps", "12", "--hidden", "8", "--seeds", "2"]
    assert main(["gradients", "--out", str(drawing), *sizes, "--cells", "rnn,lstm:0,lstm"]) == 0
    shown = capsys.readouterr().out
    assert "RNN  LSTM, forget bias 0  LSTM, forget bias 1" in shown
    assert "of an LSTM, the hidden and the cell vector together" in shown
    pixels = picture(drawing).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 10  # axes, lines of several colours, letters
    assert main(["gradients", "--out", str(drawing), "--cells", "tree"]) == 1


@pytest.mark.parametrize("name", ["drawing.jpg", "nowhere/drawing.png"])
def test_drawings_need_a_place(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["gradients", "--out", str(tmp_path / name)])
    assert "drawing" in capsys.readouterr().err
