"""Texts as streams of tokens, and how well a model predicts them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from captioner.errors import ConfigError, OptionError
from captioner.tokenizers import WordTokenizer
from tests.support.language_models import RHYME, random_model, step_through, text_recipe
from training.errors import DataError
from training.language import task as likelihood
from training.language.recipe import LanguageRecipe, TextRecipe
from training.language.text import TextStreams, load_text
from training.recipe import TokenizerRecipe, read_recipe
from training.runs.folder import RunFolder

RECIPE = Path(__file__).parents[3] / "training" / "recipes" / "austen.toml"
BOS = 1


@pytest.mark.parametrize(("streams", "chunk"), [(1, 4), (3, 7), (4, 100), (5, 1)])
def test_streams_show_every_token_once_after_the_one_before_it(streams: int, chunk: int) -> None:
    tokens = torch.arange(10, 93)
    text = TextStreams(tokens, BOS, streams, chunk)
    chunks = [text.chunk(position) for position in range(len(text))]
    targets = torch.cat([c.targets for c in chunks], dim=1)
    inputs = torch.cat([c.inputs for c in chunks], dim=1)
    assert targets.flatten().tolist() == tokens[: 83 // streams * streams].tolist()
    assert (inputs[:, 0] == BOS).all()
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert [c.start for c in chunks] == list(range(0, targets.shape[1], chunk))


def test_a_text_shorter_than_its_streams_is_an_error() -> None:
    with pytest.raises(DataError, match="the text has 3 tokens; 4 streams need at least one each"):
        TextStreams(torch.arange(3), BOS, 4, 10)


def test_the_vocabulary_comes_from_the_part_that_is_learnt(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat sat. the dog sat.")
    (tmp_path / "b.txt").write_text("the owl flew.")
    text = load_text(TextRecipe(("a.txt", "b.txt"), str(tmp_path), 0.34), TokenizerRecipe("word", 1))
    assert text.tokenizer.vocabulary == ("sat", "the", "cat", "dog")
    assert text.tokenizer.decode(text.learnt.tolist()) == "the cat sat the dog sat"
    assert text.tokenizer.words(text.held_out.tolist()) == ["the", "<UNK>", "<UNK>"]


@pytest.mark.parametrize(("content", "message"), [(b"\xff\xfe", "not a readable text"), (b"x", "too few to learn")])
def test_a_useless_text_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_text(TextRecipe(("a.txt",), str(tmp_path)), TokenizerRecipe("character", 1))


def test_the_loss_of_a_text_is_that_of_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model()
    tokens = torch.tensor(model.tokenizer.encode(RHYME))
    with torch.no_grad():
        logits = step_through(model, torch.cat([torch.tensor([BOS]), tokens[:-1]])).double().numpy()
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -log_probs[np.arange(len(tokens)), tokens.numpy()].mean()
    monkeypatch.setattr(likelihood, "CHUNK", 7)
    assert likelihood.text_loss(model, tokens) == pytest.approx(expected, rel=1e-5)
    scores = likelihood.likelihood_scores(model, tokens)
    assert scores["bits_per_character"] == pytest.approx(expected / math.log(2), rel=1e-5)


def test_words_are_compared_by_perplexity() -> None:
    model = random_model(tokenizer=WordTokenizer(["row", "your", "boat"]))
    scores = likelihood.likelihood_scores(model, torch.tensor([4, 5, 6]))
    assert scores["perplexity"] == pytest.approx(math.exp(scores["validation_loss"]))


def test_the_shipped_recipe_names_a_text_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(RECIPE.parents[2])
    recipe = read_recipe(LanguageRecipe, RECIPE, ["training.epochs=2"])
    assert recipe.run_dir == Path("runs/austen")
    text = load_text(recipe.text, recipe.tokenizer)
    assert text.sha256 in (RECIPE.parents[1] / "texts" / "README.md").read_text()
    assert len(text.tokenizer) == 4 + 66
    assert not (text.held_out == text.tokenizer.unk_id).any()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("decoder.name=top_down", "decoder.name is 'top_down'; a language model's must be 'conditioned'"),
        ("text.files=[]", "text.files is empty"),
        ("text.validation_share=0", "text.validation_share is 0.0; it must be above 0 and at most 0.5"),
        ("training.streams=0", "training.streams is 0; it must be between 1 and"),
        ("training.chunk=0", "training.chunk is 0; it must be between 1 and"),
        ("training.average=0.9", "training.average: there is no such key; "),
        ("tokenizer.name=bytes", "unknown tokenizer 'bytes'"),
        ("samples.length=0", "length is 0; it must be between 1 and 100000"),
        ("samples.temperature=0", "temperature is 0.0; it must be above 0"),
    ],
)
def test_bad_recipes_are_refused(override: str, message: str) -> None:
    with pytest.raises((ConfigError, OptionError), match=message):
        read_recipe(LanguageRecipe, RECIPE, [override])


def test_a_recipe_survives_its_run_folder(tmp_path: Path) -> None:
    recipe = text_recipe(tmp_path)
    RunFolder(tmp_path).write_recipe(recipe)
    assert RunFolder(tmp_path).read_recipe(LanguageRecipe) == recipe
