"""The mean of checkpoints: each weight by NumPy, and what cannot be averaged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioner.calibration import Calibration
from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from captioner.config import DecoderConfig
from captioner.errors import ConfigError
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from captioner.tokenizers import WordTokenizer
from training.__main__ import main
from training.initial.average import average


def varied(checkpoint: Checkpoint, seed: int, decoder: DecoderConfig | None = None, license_: str = "") -> Checkpoint:
    """A checkpoint of the same model whose weights are a little different."""
    config = checkpoint.model.config
    model = CaptionModel(replace(config, decoder=decoder or config.decoder), len(checkpoint.tokenizer))
    generator = torch.Generator().manual_seed(seed)
    model.load_state_dict(
        {
            key: value + 0.05 * torch.rand(value.shape, generator=generator)
            if value.is_floating_point()
            else value + seed
            for key, value in checkpoint.model.state_dict().items()
        }
    )
    provenance = {"name": f"run {seed}", "version": "7", **({"license": license_} if license_ else {})}
    return Checkpoint(model.eval(), checkpoint.tokenizer, provenance)


def test_every_weight_is_the_mean(small_checkpoint: Checkpoint, calibration: Calibration) -> None:
    models = {str(seed): varied(small_checkpoint, seed) for seed in (1, 2, 5)}
    models["1"] = replace(models["1"], calibration=calibration)
    found = average(models, "soup", "3")
    states = [one.model.state_dict() for one in models.values()]
    for key, value in found.model.state_dict().items():
        expected = (
            np.mean([state[key].numpy() for state in states], axis=0) if value.is_floating_point() else states[0][key]
        )
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-5, atol=1e-7)
    assert found.provenance == {
        "name": "soup",
        "version": "3",
        "ingredients": [{"name": f"run {seed}", "version": "7"} for seed in (1, 2, 5)],
    }
    assert found.calibration is None
    assert not found.model.training


def test_equal_checkpoints_are_their_own_mean(small_checkpoint: Checkpoint) -> None:
    found = average({"a": small_checkpoint, "b": small_checkpoint})
    ours, theirs = found.model.state_dict(), small_checkpoint.model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    assert found.provenance["name"] == small_checkpoint.provenance["name"]


def test_dropout_may_differ_and_a_common_license_is_kept(small_checkpoint: Checkpoint) -> None:
    other = replace(small_checkpoint.model.config.decoder, dropout=0.1)
    one, two = varied(small_checkpoint, 1, license_="MIT"), varied(small_checkpoint, 2, other, license_="MIT")
    assert average({"a": one, "b": two}).provenance["license"] == "MIT"
    assert "license" not in average({"a": one, "b": varied(small_checkpoint, 3)}).provenance


def other_cell(checkpoint: Checkpoint) -> Checkpoint:
    decoder = replace(checkpoint.model.config.decoder, cell="gru", attention_size=5)
    model = CaptionModel(replace(checkpoint.model.config, decoder=decoder), len(checkpoint.tokenizer))
    return replace(checkpoint, model=model)


def other_words(checkpoint: Checkpoint) -> Checkpoint:
    words = [*checkpoint.tokenizer.vocabulary[:-1], "zebra"]
    return replace(checkpoint, tokenizer=WordTokenizer(words))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            other_cell,
            "a and b are not the same model: decoder.cell is 'lstm' and 'gru'; decoder.attention_size is 6 and 5$",
        ),
        (other_words, "a and b are not the same model: their vocabularies differ$"),
    ],
)
def test_other_models_are_refused(
    change: Callable[[Checkpoint], Checkpoint], message: str, small_checkpoint: Checkpoint
) -> None:
    with pytest.raises(ConfigError, match=message):
        average({"a": small_checkpoint, "b": change(small_checkpoint)})


def test_one_is_no_mean(small_checkpoint: Checkpoint) -> None:
    with pytest.raises(ConfigError, match="at least 2 models; given: a"):
        average({"a": small_checkpoint})


def test_the_command(
    small_checkpoint: Checkpoint, pictures: list[Image.Image], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / f"{seed}.safetensors" for seed in (1, 2)]
    for seed, file in enumerate(files, start=1):
        save_checkpoint(varied(small_checkpoint, seed), file)
    out = tmp_path / "new" / "mean.safetensors"
    assert main(["average", *map(str, files), "--out", str(out), "--bits", "32"]) == 0
    assert "the mean of 2 checkpoints" in capsys.readouterr().out
    found = load_checkpoint(out)
    assert [one["name"] for one in found.provenance["ingredients"]] == ["run 1", "run 2"]
    expected = average({str(file): load_checkpoint(file) for file in files})
    texts = ["a dog runs"] * len(pictures)
    scores = [[c.log_prob for c in CaptionPredictor(one).scores(pictures, texts)] for one in (found, expected)]
    assert scores[0] == scores[1]
    assert main(["average", str(files[0]), str(files[0]), "--out", str(out)]) == 1
    assert "the same file is given twice" in capsys.readouterr().err
