"""Captioning decoders that start from a language model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner.config import DecoderConfig, from_dict, to_dict
from captioner.decoders import DECODERS, ConditionedDecoder, SingleDecoder, members_of
from captioner.errors import CheckpointError, ConfigError
from captioner.tokenizers import CharacterTokenizer, WordTokenizer
from tests.support.language_models import random_model
from training.initial.language_model import take_over
from training.language.model import LanguageModel, save_language_model
from training.recipe import Recipe
from training.runs.provenance import sha256
from training.runs.start import start

WORDS = ("boat", "row", "your", "gently")
OWN = ("a", "gently", "dog", "row")


@pytest.fixture
def model() -> LanguageModel:
    return random_model(tokenizer=WordTokenizer(WORDS))


def fresh(
    model: LanguageModel, name: str = "conditioned", vocabulary: int = 8, **sizes: Any
) -> SingleDecoder[Any, Any]:
    torch.manual_seed(7)
    config = replace(model.decoder.config, name=name, **sizes)
    return DECODERS[name](config, 5, 3, vocabulary).eval()


@pytest.mark.parametrize("condition", ["every_step", "initial_state", "first_input"])
def test_without_an_image_it_is_the_language_model(model: LanguageModel, condition: str) -> None:
    decoder, tokenizer = fresh(model, condition=condition), WordTokenizer(OWN)
    assert isinstance(decoder, ConditionedDecoder)
    take_over(decoder, tokenizer, model)
    text = "row gently row row gently"
    common = ["row", "gently"]
    logits = []
    for network, pieces in ((model.decoder, model.tokenizer), (decoder, tokenizer)):
        memory = network.prepare_nothing(1)
        tokens = torch.tensor([[pieces.bos_id, *pieces.encode(text)]])
        with torch.no_grad():
            run = network.teacher_force(tokens, memory, network.begin(memory))
        logits.append(run.logits[0][:, [pieces.unk_id, *(pieces.encode(word)[0] for word in common)]])
    torch.testing.assert_close(logits[1], logits[0])


def test_what_a_language_model_does_not_know_stays_fresh(model: LanguageModel) -> None:
    decoder, untouched = fresh(model), fresh(model).state_dict()
    takeover = take_over(decoder, WordTokenizer(OWN), model)
    mine = decoder.state_dict()
    for name in ("embedding.weight", "output.weight", "output.bias"):
        for row, text in enumerate(("<PAD>", "<START>", "<END>", "<UNK>", *OWN)):
            taken = text in ("<START>", "<UNK>", "gently", "row")
            assert torch.equal(mine[name][row], untouched[name][row]) != taken, (name, text)
        assert f"{name} (4 of 8 rows)" in takeover.taken
    images = {name for name in mine if "image" in name or name.startswith("project_vector")}
    assert images
    assert set(takeover.fresh) == images
    assert all(torch.equal(mine[name], untouched[name]) for name in images)
    assert "decoder weights fresh: project_vector.weight" in str(takeover)


def test_other_decoders_take_what_fits(model: LanguageModel) -> None:
    decoder = fresh(model, "soft_attention", attention_size=4)
    takeover = take_over(decoder, WordTokenizer(OWN), model)
    assert "embedding.weight (4 of 8 rows)" in takeover.taken
    assert torch.equal(decoder.embedding.weight[7], model.decoder.embedding.weight[5])
    for name, value in decoder.state_dict().items():
        given = model.decoder.state_dict().get(name)
        if name in takeover.taken:
            assert given is not None
            assert torch.equal(value, given)


def test_another_kind_of_token_brings_only_cells(model: LanguageModel) -> None:
    takeover = take_over(fresh(model), CharacterTokenizer(("r", "o", "w", "s")), model)
    assert all(name.startswith("language.cells") for name in takeover.taken)
    assert {"embedding.weight", "output.weight", "output.bias"} <= set(takeover.fresh)


def test_nothing_that_fits_is_an_error(model: LanguageModel) -> None:
    other = fresh(model, cell="gru", hidden_size=9, embedding_size=5)
    with pytest.raises(ConfigError, match="nothing of that language model fits the decoder") as error:
        take_over(other, CharacterTokenizer(tuple("rows")), model)
    assert "given lstm, 10 units, embedding of 6, word tokens; needed gru, 9 units" in str(error.value)


@pytest.fixture
def captioning(recipe: Recipe) -> Recipe:
    decoder = DecoderConfig(name="conditioned", layers=2, embedding_size=6, hidden_size=10)
    model = from_dict(type(recipe.model), {**to_dict(recipe.model), "decoder": to_dict(decoder)})
    return replace(recipe, model=model)


def test_a_captioning_run_starts_from_a_language_model(captioning: Recipe, tmp_path: Path) -> None:
    model = random_model(tokenizer=WordTokenizer(["dog", "runs"]))
    file = tmp_path / "language.safetensors"
    save_language_model(model, file)
    trainer = start(replace(captioning, decoder_weights=str(file)))
    own = trainer.task.bench.tokenizer
    row = members_of(trainer.task.model.decoder)[0].embedding.weight[own.encode("dog")[0]]
    assert torch.equal(row, model.decoder.embedding.weight[model.tokenizer.encode("dog")[0]])
    provenance = trainer.task.bench.provenance
    assert provenance["decoder_weights_sha256"] == sha256(file)
    assert "decoder_weights" not in provenance["recipe"]
    assert "decoder_weights_sha256" not in start(replace(captioning, name="fresh")).task.bench.provenance


def test_decoder_weights_must_be_a_language_model(captioning: Recipe, small_checkpoint_file: Path) -> None:
    with pytest.raises(CheckpointError, match="not a language model"):
        start(replace(captioning, decoder_weights=str(small_checkpoint_file)))
