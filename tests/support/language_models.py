"""Small language models, and a text that they can learn."""

from pathlib import Path
from typing import Any

import torch

from captioner.config import DecoderConfig, from_dict
from captioner.tokenizers import CharacterTokenizer, Tokenizer
from training.language.model import LanguageDecoder, LanguageModel
from training.language.recipe import LanguageRecipe

RHYME = "row row row your boat gently down the stream. "


def text_recipe(folder: Path, **tables: dict[str, Any]) -> LanguageRecipe:
    """Return the recipe of a small model of characters, with some values of its tables replaced."""
    file = folder / "rhyme.txt"
    file.write_text(8 * RHYME)
    defaults: dict[str, dict[str, Any]] = {
        "text": {"root": str(folder), "files": ["rhyme.txt"], "validation_share": 0.1},
        "tokenizer": {"name": "character", "min_count": 1},
        "decoder": {"name": "conditioned", "layers": 2, "embedding_size": 6, "hidden_size": 10, "dropout": 0.2},
        "training": {"epochs": 3, "streams": 3, "chunk": 25, "learning_rate": 0.01, "precision": "float32"},
        "samples": {"length": 12, "seed": 5},
    }
    values: dict[str, Any] = {name: {**table, **tables.get(name, {})} for name, table in defaults.items()}
    return from_dict(LanguageRecipe, {"name": "rhyme", "runs": str(folder / "runs"), **values})


def random_model(cell: str = "lstm", layers: int = 2, tokenizer: Tokenizer | None = None) -> LanguageModel:
    """Return a model whose random weights make it talkative."""
    torch.manual_seed(0)
    tokenizer = tokenizer or CharacterTokenizer.learn([RHYME])
    config = DecoderConfig(name="conditioned", cell=cell, layers=layers, embedding_size=6, hidden_size=10)
    decoder = LanguageDecoder(config, len(tokenizer))
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return LanguageModel(decoder.eval(), tokenizer, {"name": "random"})


def step_through(model: LanguageModel, tokens: torch.Tensor) -> torch.Tensor:
    """Return logits ``[T, V]`` of one row of tokens ``[T]``, step by step from the fresh state."""
    memory = model.decoder.prepare_nothing(1)
    state, logits = model.decoder.begin(memory), []
    for token in tokens:
        step = model.decoder.step(token[None], memory, state)
        logits.append(step.logits[0])
        state = step.state
    return torch.stack(logits)
