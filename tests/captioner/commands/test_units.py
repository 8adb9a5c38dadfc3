from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner.activations import choose_units, unit_plot, unit_rows
from captioner.decoding import DecodingOptions
from captioner.predictor import CaptionPredictor
from captioner.types import Caption
from tests.support.command_line import FakePredictor, Run


def equal(path: Path, expected: Image.Image) -> bool:
    with Image.open(path) as found:
        return np.array_equal(np.asarray(found), np.asarray(expected))


def test_names_sizes_and_what_was_drawn(run: Run, photo: Path, tmp_path: Path, small_model: CaptionPredictor) -> None:
    out = tmp_path / "units.png"
    status, lines, errors = run("units", photo, "--out", out, "--min-length", 3)
    assert (status, errors) == (0, "")
    options = DecodingOptions(min_length=3)
    caption = small_model.caption(photo.read_bytes(), options, activations=True)
    assert caption.activations is not None
    listed = [line.split("\t") for line in lines]
    assert {name: int(size) for name, size, *_ in listed} == {
        name: values.shape[1] for name, values in caption.activations.items()
    }
    units = choose_units(caption.activations)
    assert [f"{name}:{index}" for name, _, *drawn in listed for index in " ".join(drawn).split()] == [*map(str, units)]
    expected = unit_plot([word.text for word in caption.words], unit_rows(caption.activations, units))
    assert equal(out, expected)


def test_units_of_a_text(run: Run, photo: Path, tmp_path: Path, small_model: CaptionPredictor) -> None:
    caption = small_model.score(photo.read_bytes(), "two dogs", activations=True)
    assert caption.activations is not None
    name = next(iter(caption.activations))
    arguments = ("--text", "two dogs", "--unit", f"{name}:3", "--unit", f"{name}:0", "--out", tmp_path)
    assert run("units", photo, *arguments) == (0, [], "")
    rows = {f"{name}:{index}": caption.activations[name][:, index] for index in (3, 0)}
    assert equal(tmp_path / "photo.png.png", unit_plot(["two", "dogs"], rows))


def test_units_that_do_not_exist(run: Run, photo: Path, tmp_path: Path, small_model: CaptionPredictor) -> None:
    arguments = ("units", photo, "--text", "a dog", "--out", tmp_path / "units.png")
    names = [line.split("\t")[:2] for line in run(*arguments)[1]]
    status, lines, errors = run(*arguments, "--unit", "language.9.soul:0")
    assert (status, lines) == (2, [])
    assert all(name in errors for name, _ in names)
    name, size = names[0]
    status, lines, errors = run(*arguments, "--unit", f"{name}:{size}")
    assert (status, lines) == (2, [])
    assert f"between 0 and {int(size) - 1}" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "units.png", "--unit", "language.0.cell"], "NAME:INDEX"),
        (["--out", "units.png", "--text", "a dog", "--beam-size", "3", "--top-k", "2"], "--beam-size, --top-k"),
        (["--out", "units.png", "--beam-size", "0"], "beam_size is 0"),
        (["--out", "photo.png"], "overwritten"),
    ],
)
def test_what_is_refused_before_any_work(
    arguments: list[str],
    message: str,
    run: Run,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    predictor: FakePredictor,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = photo.read_bytes()
    status, lines, errors = run("units", photo, *arguments)
    assert (status, lines, predictor.batches) == (2, [], [])
    assert message in errors
    assert photo.read_bytes() == before


def test_a_caption_without_words(
    run: Run, photo: Path, tmp_path: Path, small_model: CaptionPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = {"language.0.hidden": np.zeros((0, 4), np.float32)}
    empty = Caption("", (), -1.0, None, finished=True, activations=nothing)
    monkeypatch.setattr(small_model, "caption", lambda *_, **__: empty)
    status, lines, errors = run("units", photo, "--out", tmp_path / "units.png")
    assert (status, lines) == (2, [])
    assert "no words" in errors


def test_a_photo_that_cannot_be_read(run: Run, tmp_path: Path, predictor: FakePredictor) -> None:
    assert run("units", "missing.jpg", "--out", tmp_path / "units.png")[:2] == (1, [])
