"""A decoder starts from the frequencies of words."""

import math
from dataclasses import replace
from typing import cast

import pytest
import torch

from captioner.checkpoint import Checkpoint, save_checkpoint
from captioner.decoders import members_of
from captioner.tokenizers import TOKENIZERS
from training.captioning.setup import log_frequencies, set_up
from training.recipe import Recipe

CAPTIONS = ["a dog runs", "a dog and a cat"]


@pytest.mark.parametrize("name", ["word", "character"])
def test_shares_of_tokens_by_hand(name: str) -> None:
    tokenizer = TOKENIZERS[name].learn(CAPTIONS)
    found = log_frequencies(tokenizer, CAPTIONS).exp()
    pieces = [piece for text in CAPTIONS for piece in [*tokenizer.split(text), None]]  # None for the end
    total = len(pieces) + len(tokenizer)
    assert math.isclose(float(found.sum()), 1, rel_tol=1e-5)
    assert math.isclose(float(found[tokenizer.eos_id]), (2 + 1) / total, rel_tol=1e-5)
    assert math.isclose(float(found[tokenizer.bos_id]), 1 / total, rel_tol=1e-5)  # never predicted
    for piece in tokenizer.vocabulary:
        assert math.isclose(float(found[tokenizer.encode(piece)[0]]), (pieces.count(piece) + 1) / total, rel_tol=1e-5)


def test_a_decoder_that_knows_nothing_else_predicts_the_frequencies(recipe: Recipe) -> None:
    bench = set_up(recipe)
    [decoder] = members_of(bench.model.decoder)
    torch.nn.init.zeros_(cast("torch.Tensor", decoder.output.weight))
    scores = decoder.output(torch.randn(3, recipe.model.decoder.hidden_size)).log_softmax(dim=1)
    captions = [text for image in bench.images for text in image.captions]
    expected = log_frequencies(bench.tokenizer, captions)
    torch.testing.assert_close(scores, expected.expand(3, -1))


def test_a_model_that_goes_on_keeps_its_own(recipe: Recipe) -> None:
    bench = set_up(recipe)
    [old] = members_of(bench.model.decoder)
    torch.nn.init.constant_(old.output.bias, 0.25)
    file = recipe.run_dir.parent / "old.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(Checkpoint(bench.model, bench.tokenizer, {}), file, torch.float32)
    [new] = members_of(set_up(replace(recipe, start_from=str(file), encoder_weights="")).model.decoder)
    assert torch.equal(new.output.bias, old.output.bias)
