"""A model that goes on from a checkpoint: all it knows is kept, and words may be added."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from captioner.checkpoint import Checkpoint, load_checkpoint
from captioner.config import ModelConfig, to_dict
from captioner.decoders import members_of
from captioner.errors import ConfigError
from captioner.model import CaptionModel
from captioner.tokenizers import TOKENIZERS, Tokenizer
from training.errors import DataError
from training.initial.language_model import BY_PIECE
from training.recipe import TokenizerRecipe


def learn_tokenizer(recipe: TokenizerRecipe, texts: Sequence[str]) -> Tokenizer:
    """Make a tokenizer of the pieces of texts.

    Raises:
        DataError: If no piece occurs often enough: a model without words can say nothing.
    """
    kind = TOKENIZERS[recipe.name]
    tokenizer = kind.learn(texts, recipe.min_count, recipe.max_size)
    if not tokenizer.vocabulary:
        counts = Counter(piece for text in texts for piece in kind.split(text))
        raise DataError(f"the vocabulary would be empty: {_why(recipe, counts)}")
    return tokenizer


def _why(recipe: TokenizerRecipe, counts: Counter[str]) -> str:
    if not counts:
        return f"what is learnt from has no {recipe.name}s at all"
    [(most, count)] = counts.most_common(1)
    return (
        f"no {recipe.name} occurs tokenizer.min_count = {recipe.min_count} times; the most frequent, {most!r}, has "
        f"{count}. Lower it, for example by --set tokenizer.min_count={max(1, count // 2)}"
    )


def grow(path: Path, config: ModelConfig, learnt: Tokenizer) -> tuple[CaptionModel, Tokenizer]:
    """Return a checkpoint's model with the words of new captions added to its vocabulary.

    Old words keep their token ids, embeddings and output rows. New ones get the rows of a fresh model, with an output
    bias as low as the old words' lowest, so that nothing the model says changes before it learns.

    Args:
        path: The checkpoint.
        config: What the recipe asks for; only its dropout may differ from the checkpoint's.
        learnt: A tokenizer made of the new captions, of the same kind as the checkpoint's.

    Raises:
        CheckpointError: If the file cannot be used.
        ConfigError: If the recipe describes another model or another kind of tokenizer.
    """
    old = load_checkpoint(path)
    _check_same(path, old, config, learnt)
    tokenizer = _with_new_words(old.tokenizer, learnt)
    model = CaptionModel(config, len(tokenizer))
    fresh, kept = model.state_dict(), old.model.state_dict()
    decoders = ["decoder", *(f"decoder.members.{index}" for index in range(config.decoder.members))]
    grown = {f"{decoder}.{name}" for decoder in decoders for name in BY_PIECE}
    model.load_state_dict({name: _extended(kept[name], fresh[name]) if name in grown else kept[name] for name in fresh})
    if len(tokenizer) > len(old.tokenizer):
        _make_unlikely(model, len(old.tokenizer))
    return model, tokenizer


def _with_new_words(old: Tokenizer, learnt: Tokenizer) -> Tokenizer:
    """Return the old vocabulary, then what is new; cut by the present rule if that leaves the old words whole."""
    present = TOKENIZERS[old.name]
    kind = present if all(present.split(piece) == [piece] for piece in old.vocabulary) else type(old)
    added = [piece for piece in learnt.vocabulary if not old.knows(piece) and kind.split(piece) == [piece]]
    return kind([*old.vocabulary, *added])


def _make_unlikely(model: CaptionModel, first: int) -> None:
    """Give the words from a token id on the output bias of the unlikeliest word before."""
    for member in members_of(model.decoder):
        bias = member.output.bias
        with torch.no_grad():
            bias[first:] = bias[:first].min()


def _extended(kept: Tensor, fresh: Tensor) -> Tensor:
    """Return the kept rows, followed by fresh ones for the pieces that are new."""
    return torch.cat([kept, fresh[len(kept) :]])


def _check_same(path: Path, old: Checkpoint, config: ModelConfig, learnt: Tokenizer) -> None:
    asked, had = dict(_leaves(to_dict(config))), dict(_leaves(to_dict(old.model.config)))
    other = [
        f"model.{name} is {asked[name]!r}, not {had[name]!r}"
        for name in asked
        if asked[name] != had[name] and name != "decoder.dropout"
    ]
    if learnt.name != old.tokenizer.name:
        other.append(f"tokenizer.name is {learnt.name!r}, not {old.tokenizer.name!r}")
    if other:
        raise ConfigError(f"the recipe describes another model than {path}, which it starts from: {'; '.join(other)}")


def _leaves(values: dict[str, object], prefix: str = "") -> Iterable[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
