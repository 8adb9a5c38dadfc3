"""Models that were trained apart, joined to an ensemble."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from captioner.decoders import members_of
from captioner.errors import ConfigError
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from captioner.tokenizers import WordTokenizer
from tests.support.pictures import noise_image
from training.__main__ import main
from training.initial.ensemble import join
from training.initial.vocabulary import grow
from training.recipe import Recipe
from training.runs.start import start

pytestmark = pytest.mark.slow


@pytest.fixture
def other(small_checkpoint: Checkpoint) -> Checkpoint:
    """The same encoder with another decoder."""
    model = copy.deepcopy(small_checkpoint.model)
    for parameter in model.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return replace(small_checkpoint, model=model, provenance={"name": "other"})


def test_it_captions_by_the_mean_of_their_probabilities(small_checkpoint: Checkpoint, other: Checkpoint) -> None:
    joined = join({"one": small_checkpoint, "two": other}, "both", "3")
    pictures, texts = [noise_image(seed, 64, 64) for seed in range(3)], ["a dog runs", "a dog", "the ball runs"]
    single = [CaptionPredictor(one).scores(pictures, texts) for one in (small_checkpoint, other)]
    together = CaptionPredictor(joined).scores(pictures, texts)
    for caption, first, second in zip(together, *single, strict=True):
        for word, one, two in zip(caption.words, first.words, second.words, strict=True):
            mean = (math.exp(one.log_prob) + math.exp(two.log_prob)) / 2
            assert math.exp(word.log_prob) == pytest.approx(mean, rel=1e-4)
    assert joined.provenance["members"] == [small_checkpoint.provenance, {"name": "other"}]
    assert (joined.provenance["name"], joined.provenance["version"]) == ("both", "3")
    assert joined.calibration is None


def test_an_ensemble_gives_all_its_members(small_checkpoint: Checkpoint, other: Checkpoint) -> None:
    two = join({"one": small_checkpoint, "two": other}, "two", "1")
    three = join({"two": two, "one": small_checkpoint}, "three", "1")
    expected = [*members_of(two.model.decoder), *members_of(small_checkpoint.model.decoder)]
    for member, source in zip(members_of(three.model.decoder), expected, strict=True):
        assert torch.equal(member.embedding.weight, source.embedding.weight)


def test_what_does_not_go_together_is_refused(small_checkpoint: Checkpoint, other: Checkpoint) -> None:
    with pytest.raises(ConfigError, match="at least 2 models; given: one"):
        join({"one": small_checkpoint}, "x", "1")
    words = WordTokenizer([*small_checkpoint.tokenizer.vocabulary[1:], "new"])
    with pytest.raises(ConfigError, match="one and two cannot be joined: their vocabularies differ"):
        join({"one": small_checkpoint, "two": replace(other, tokenizer=words)}, "x", "1")
    config = small_checkpoint.model.config
    tied = replace(config, decoder=replace(config.decoder, hidden_size=99))
    sized = replace(other, model=CaptionModel(tied, len(other.tokenizer)))
    with pytest.raises(ConfigError, match="configurations differ"):
        join({"one": small_checkpoint, "two": sized}, "x", "1")


def test_encoders_that_differ_share_what_is_equal(small_checkpoint: Checkpoint, other: Checkpoint) -> None:
    tuned = copy.deepcopy(other)
    tuned.model.encoder.fine_tune("stride16")
    with torch.no_grad():
        for parameter in tuned.model.encoder.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.05)
    models = {"one": small_checkpoint, "tuned": tuned, "two": other}
    joined = join(models, "all", "1")
    config = joined.model.config
    assert (config.encoder.branches, config.encoder.branch_stage) == (2, "stride16")
    assert (config.decoder.members, config.decoder.reads) == (3, (0, 1, 0))
    pictures, texts = [noise_image(seed, 64, 64) for seed in range(2)], ["a dog runs", "the ball"]
    single = [CaptionPredictor(one).scores(pictures, texts) for one in models.values()]
    for caption, *apart in zip(CaptionPredictor(joined).scores(pictures, texts), *single, strict=True):
        for word, *words in zip(caption.words, *(one.words for one in apart), strict=True):
            mean = sum(math.exp(one.log_prob) for one in words) / 3
            assert math.exp(word.log_prob) == pytest.approx(mean, rel=1e-4)
    with pytest.raises(ConfigError, match="all has an encoder of 2 branches; join the models that it was made of"):
        join({"all": joined, "one": small_checkpoint}, "x", "1")


def test_the_command_writes_a_file(
    small_checkpoint: Checkpoint, other: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for checkpoint, file in zip((small_checkpoint, other), files, strict=True):
        save_checkpoint(checkpoint, file)
    out = tmp_path / "both.safetensors"
    assert main(["join", *map(str, files), "--out", str(out), "--name", "both"]) == 0
    assert "2 decoders" in capsys.readouterr().out
    assert len(members_of(load_checkpoint(out).model.decoder)) == 2
    size = out.stat().st_size
    assert main(["join", *map(str, files), "--out", str(out), "--name", "both", "--bits", "8"]) == 0
    assert out.stat().st_size < size
    assert main(["join", str(files[0]), "--out", str(out), "--name", "both"]) == 1
    assert "at least 2 models" in capsys.readouterr().err


def test_an_ensemble_grows(small_checkpoint: Checkpoint, other: Checkpoint, tmp_path: Path) -> None:
    joined = join({"one": small_checkpoint, "two": other}, "both", "1")
    save_checkpoint(joined, tmp_path / "both.safetensors")
    model, tokenizer = grow(tmp_path / "both.safetensors", joined.model.config, WordTokenizer(["wombat"]))
    old = len(joined.tokenizer)
    assert len(tokenizer) == old + 1
    for member, source in zip(members_of(model.decoder), members_of(joined.model.decoder), strict=True):
        assert torch.equal(member.embedding.weight[:old], source.embedding.weight)
        assert torch.equal(member.output.bias[:old], source.output.bias)
        assert torch.equal(member.output.bias[old], source.output.bias.min())


@pytest.mark.slow
def test_an_ensemble_learns_as_one_model(recipe: Recipe) -> None:
    model = replace(recipe.model, decoder=replace(recipe.model.decoder, members=2))
    trainer = start(replace(recipe, model=model))
    before = [member.output.bias.clone() for member in members_of(trainer.task.model.decoder)]
    assert trainer.run()
    after = members_of(trainer.task.model.decoder)
    assert all(not torch.equal(old, member.output.bias) for old, member in zip(before, after, strict=True))
    assert len(members_of(load_checkpoint(trainer.best_file).model.decoder)) == 2
