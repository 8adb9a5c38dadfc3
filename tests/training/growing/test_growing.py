"""Growing from corrections: new words are said, the old ones kept, the file put in place whole or not at all."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from captioner.answers.header import identify_encoder
from captioner.calibration import Calibration
from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, stored_weights
from captioner.decoding import DecodingOptions
from captioner.header import CheckpointFile, read_header
from captioner.images import read_image
from captioner.predictor import CaptionPredictor
from captioner.runtimes.export import export_checkpoint
from service.corrections import CorrectionStore, encode_photo
from tests.support.growing import FAST, make_growable
from training.__main__ import main
from training.commands import grow
from training.data import CaptionedImage
from training.errors import TrainingError
from training.growing.finish import Comparison
from training.growing.losses import distance, kept_words
from training.growing.recipe import GrowRecipe, GrowTraining
from training.growing.setup import choose_old, grown_provenance
from training.growing.task import GrowTask

pytestmark = pytest.mark.slow
Grow = Callable[..., int]


def test_staying_near_the_old_words_is_the_divergence_of_the_equation() -> None:
    numbers = np.random.default_rng(0)
    logits, before = numbers.normal(size=(2, 3, 6)), numbers.normal(size=(2, 3, 4))
    targets = np.array([[1, 5, 0], [3, 0, 0]])  # 0 is padding, 5 a new word
    q, p = (np.exp(x) / np.exp(x).sum(axis=2, keepdims=True) for x in (logits, before))
    expected = []
    for row, step in ((0, 0), (0, 1), (1, 0)):
        if targets[row, step] >= 4:
            expected.append(-np.log(q[row, step, targets[row, step]]))
        else:
            expected.append((p[row, step] * np.log(p[row, step] / q[row, step, :4])).sum())
    found = kept_words(torch.tensor(logits), torch.tensor(before), torch.tensor(targets), 0)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)


def test_the_same_words_are_no_way_apart() -> None:
    before = torch.randn(2, 3, 4)
    grown = torch.cat([before, torch.full((2, 3, 2), -1e4)], dim=2)
    assert float(kept_words(grown, before, torch.ones(2, 3, dtype=torch.long), 0)) == pytest.approx(0, abs=1e-6)


def test_distance_counts_old_rows_alone() -> None:
    layer = nn.Linear(2, 3)
    start = {name: value.detach()[:2].clone() for name, value in layer.named_parameters()}
    assert float(distance(layer, start).detach()) == 0
    with torch.no_grad():
        layer.weight[2] += 5  # new
        layer.weight[0, 0] += 3
        layer.bias[1] -= 1
    assert float(distance(layer, start).detach()) == pytest.approx((9 + 1) / 2)


def recipe(**changes: object) -> GrowRecipe:
    made = GrowRecipe("runs", "name", "old", "ab", "kept", "cd")
    return replace(made, **changes)  # type: ignore[arg-type]


def test_old_photos_that_tell_of_new_words_come_first(small_checkpoint: Checkpoint) -> None:
    images = [CaptionedImage(n, Path(f"{n}"), ("a dog", "a wombat" if n == 70 else "two dogs")) for n in range(100)]
    some = recipe(training=GrowTraining(old_photos=20, old_captions=1))
    chosen = choose_old(images, {"wombat"}, small_checkpoint.tokenizer, some)
    assert (chosen[0].image_id, chosen[0].captions) == (70, ("a wombat",))
    assert len({image.image_id for image in chosen}) == 20
    assert chosen == choose_old(images, {"wombat"}, small_checkpoint.tokenizer, some)
    assert len(choose_old(images[:7], set(), small_checkpoint.tokenizer, some)) == 7


def test_the_version_tells_how_often_a_model_has_grown() -> None:
    once = grown_provenance({"name": "a", "version": "3"}, recipe(), 2, ["wombat"])
    twice = grown_provenance(once, recipe(), 1, [])
    assert (once["version"], twice["version"]) == ("3.1", "3.2")
    assert [step["new_words"] for step in twice["grown"]] == [["wombat"], []]
    assert twice["name"] == "a"


@pytest.mark.parametrize(("lost", "most", "allowed"), [(1.0, 1.0, True), (1.01, 1.0, False), (-5, 0, True)])
def test_no_more_is_lost_than_is_allowed(lost: float, most: float, allowed: bool) -> None:
    found = Comparison(50.0, 50.0 - lost)
    if allowed:
        found.require(most)
        return
    with pytest.raises(TrainingError, match=r"from 50\.00 to 48\.99, by 1\.01; at most 1"):
        found.require(most)


@pytest.fixture
def corrections(tmp_path: Path) -> Path:
    """Two photos, one of a wombat."""
    folder = tmp_path / "kept"
    kept = CorrectionStore(folder, 100, 2**30)
    for red, text in ((100, "a wombat on the grass"), (250, "two children")):
        kept.add(b"%d" % red, encode_photo(Image.new("RGB", (40, 30), (red, 30, 255 - red))), text)
    return folder


@pytest.fixture
def old(calibration: Calibration, tmp_path: Path) -> Path:
    """A file as models are shipped: in 8 bits, with graphs and confidences."""
    path = tmp_path / "old.safetensors"
    save_checkpoint(replace(make_growable(), calibration=calibration), path, torch.int8)
    export_checkpoint(path, path, 8)
    return path


@pytest.fixture
def run(corrections: Path, old: Path, dataset: Path, tmp_path: Path) -> Grow:
    """Return what runs the command; by default with the old captions."""

    def grow(*more: str, out: Path = tmp_path / "new.safetensors", old_captions: bool = True) -> int:
        past = ["--annotations", str(dataset / "train.json"), "--images", str(dataset / "train")]
        place = ["--corrections", str(corrections), "--checkpoint", str(old), "--out", str(out)]
        cache = ["--cache", str(tmp_path / "cache")]
        return main(["grow", *place, *cache, *(past if old_captions else []), *FAST, *more])

    return grow


def captions(path: Path, corrections: Path) -> list[str]:
    names = [json.loads(line)["file"] for line in (corrections / "corrections.jsonl").read_text().splitlines()]
    predictor = CaptionPredictor.from_checkpoint(path)
    pictures = [read_image((corrections / "photos" / name).read_bytes()) for name in names]
    return [found[0].text for found in predictor.captions(pictures, DecodingOptions(beam_size=3, max_length=8))]


@pytest.mark.parametrize("old_captions", [True, False])
def test_a_model_learns_a_new_word_and_is_stored_as_the_old_one(
    run: Grow, old: Path, corrections: Path, calibration: Calibration, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], old_captions: bool,
) -> None:  # fmt: skip
    new = tmp_path / "new.safetensors"
    assert run(old_captions=old_captions) == 0
    assert "wombat" in captions(new, corrections)[0]
    assert "wombat" not in " ".join(captions(old, corrections))
    before, after = (CheckpointFile.read(path) for path in (old, new))
    assert identify_encoder(before) == identify_encoder(after)
    kept, stored = stored_weights(before), stored_weights(after)
    assert {name: value.dtype for name, value in kept.items()} == {name: value.dtype for name, value in stored.items()}
    for name, value in kept.items():
        if name.startswith("encoder."):
            assert torch.equal(value, stored[name]), name
    assert read_header(new)["onnx"]["bits"] == 8
    made = load_checkpoint(new)
    assert made.calibration == calibration
    assert made.provenance["version"] == "7.1"
    assert made.provenance["grown"][0]["new_words"] == ["wombat"]
    assert not (tmp_path / "new.safetensors.growing").exists()
    told = capsys.readouterr()
    assert "1 new words" in told.out
    assert "captioner train calibrate" in told.err
    assert "nobody knows what the model has forgotten" in told.err


def test_what_loses_too_much_is_refused_and_the_old_file_stays(
    run: Grow, old: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(grow, "compare", lambda *_: Comparison(60.0, 58.5))
    validation = ["--val-annotations", str(dataset / "val.json"), "--val-images", str(dataset / "val")]
    content = old.read_bytes()
    assert run(*validation, out=old) == 1
    assert "from 60.00 to 58.50, by 1.50; at most 1 may be lost" in capsys.readouterr().err
    assert old.read_bytes() == content
    monkeypatch.setattr(GrowTask, "batch", None)  # what is learnt is not learnt again
    assert run(*validation, "--most-lost", "2", out=old) == 0
    assert load_checkpoint(old).tokenizer.knows("wombat")


def test_both_models_are_measured_on_the_validation_photos(
    run: Grow, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    validation = ["--val-annotations", str(dataset / "val.json"), "--val-images", str(dataset / "val")]
    assert run(*validation, "--most-lost", "1000") == 0
    assert "CIDEr on 5 validation photos: " in capsys.readouterr().out


def test_a_run_that_was_stopped_goes_on_to_the_same_model(
    run: Grow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parted = tmp_path / "whole.safetensors", tmp_path / "parted.safetensors"
    assert run(out=whole) == 0
    validate = GrowTask.validate

    def stop(*arguments: object) -> dict[str, float]:
        found = validate(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(GrowTask, "validate", validate)
        os.kill(os.getpid(), signal.SIGINT)
        return found

    monkeypatch.setattr(GrowTask, "validate", stop)
    assert run(out=parted) == 130
    assert not parted.exists()
    assert "the same command goes on" in capsys.readouterr().out
    assert run(out=parted) == 0
    ours, theirs = (stored_weights(CheckpointFile.read(path)) for path in (parted, whole))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_other_corrections_begin_anew(run: Grow, corrections: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new.safetensors.growing"
    folder.mkdir()
    (folder / "recipe.json").write_text("{}")
    (folder / "old").write_text("")
    assert run() == 0
    assert not folder.exists()


def test_what_does_not_fit_is_said(
    run: Grow, corrections: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--val-annotations", "val.json") == 1
    assert "--val-annotations and --val-images go together" in capsys.readouterr().err
    assert run("--set", "training.near=-1") == 1
    assert "near is -1" in capsys.readouterr().err
    shutil.rmtree(corrections)
    assert run() == 1
    assert "holds no corrections" in capsys.readouterr().err
