"""Word vectors that also score the next word: one matrix, which does what two equal ones would."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from captioner.config import DecoderConfig, EncoderConfig, ModelConfig
from captioner.decoders import DECODERS, Decoder, SingleDecoder, members_of
from captioner.errors import ConfigError
from captioner.model import CaptionModel
from captioner.tokenizers import WordTokenizer
from captioner.types import Features

V, P, D, L, UNITS = 11, 6, 5, 4, 8


def build(name: str, **options: Any) -> SingleDecoder[Any, Any]:
    config = DecoderConfig(name, embedding_size=UNITS, hidden_size=UNITS, attention_size=3, dropout=0.0, **options)
    return DECODERS[name](config, P, D, V)


def scores(decoder: Decoder[Any, Any]) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    grid = torch.randn(2, L, D, generator=generator)
    memory = decoder.prepare(Features(torch.randn(2, P, generator=generator), grid, 2, 2))
    logits: Tensor = decoder.teacher_force(torch.tensor([[1, 5, 7], [1, 9, 3]]), memory, decoder.begin(memory)).logits
    return logits


@pytest.mark.parametrize("name", list(DECODERS))
def test_one_matrix_equals_two_equal_ones(name: str) -> None:
    tied, untied = build(name, tied=True), build(name)
    nn.init.normal_(tied.output.bias)
    untied.load_state_dict({**tied.state_dict(), "output.weight": tied.embedding.weight})
    torch.testing.assert_close(scores(tied), scores(untied))
    for decoder in (tied, untied):
        scores(decoder).square().sum().backward()  # type: ignore[no-untyped-call]
    both = cast("Tensor", untied.embedding.weight.grad) + cast("Tensor", untied.output.weight.grad)
    torch.testing.assert_close(tied.embedding.weight.grad, both)


@pytest.mark.parametrize("name", list(DECODERS))
def test_the_matrix_counts_once(name: str) -> None:
    sizes = [sum(p.numel() for p in build(name, tied=tied).parameters()) for tied in (False, True)]
    assert sizes[0] - sizes[1] == V * UNITS


def test_a_copy_is_tied_to_its_own_word_vectors() -> None:
    decoder = build("top_down", tied=True)
    copied = copy.deepcopy(decoder)
    before = scores(decoder)
    nn.init.zeros_(copied.embedding.weight)
    torch.testing.assert_close(scores(decoder), before)
    assert torch.equal(scores(copied), copied.output.bias.expand(2, 3, V))


def test_other_lengths_are_refused() -> None:
    config = DecoderConfig("top_down", embedding_size=UNITS, hidden_size=UNITS + 1, tied=True)
    with pytest.raises(ConfigError, match="embedding_size must be as many, not 8"):
        DECODERS["top_down"](config, P, D, V)
    DECODERS["soft_attention"](replace(config, name="soft_attention"), P, D, V)  # scores from vectors of E units


def test_a_file_holds_the_matrix_once(tmp_path: Path) -> None:
    tokenizer = WordTokenizer(["a", "dog"])
    config = ModelConfig(encoder=EncoderConfig("tiny"), decoder=build("top_down", tied=True).config)
    model = CaptionModel(config, len(tokenizer)).eval()
    assert "decoder.output.weight" not in model.state_dict()
    save_checkpoint(Checkpoint(model, tokenizer), tmp_path / "tied.safetensors")
    loaded = load_checkpoint(tmp_path / "tied.safetensors").model
    hidden = torch.randn(3, UNITS)
    [ours], [theirs] = members_of(model.decoder), members_of(loaded.decoder)
    torch.testing.assert_close(theirs.output(hidden), ours.output(hidden))
