"""A captioning decoder that starts from a language model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captioner.decoders import Decoder
from captioner.errors import ConfigError
from captioner.tokenizers import Tokenizer
from training.language.model import LanguageModel

BY_PIECE = ("embedding.weight", "output.weight", "output.bias")  # one row per token


@dataclass(frozen=True)
class Takeover:
    """What a decoder took from a language model.

    Attributes:
        taken: Names of the tensors, those taken in part with how many of their rows.
        fresh: Names of the tensors that stay as they were.
    """

    taken: tuple[str, ...]
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        return f"decoder weights taken over: {', '.join(self.taken)}\ndecoder weights fresh: {', '.join(self.fresh)}"


def take_over(decoder: Decoder[Any, Any], tokenizer: Tokenizer, model: LanguageModel) -> Takeover:
    """Copy what fits of a language model into a decoder.

    Rows of the embedding and of the output are matched by what their token says, if both tokenizers are of a kind;
    ``<END>`` and padding, which a language model never meets, stay fresh. All other tensors are matched by name and
    shape.

    Raises:
        ConfigError: If nothing fits.
    """
    given = model.decoder.state_dict()
    own = decoder.state_dict()  # shares its memory with the weights
    rows = _common_rows(model.tokenizer, tokenizer)
    taken = {name: _copy(name, value, given, rows) for name, value in own.items()}
    if not any(taken.values()):
        raise ConfigError(
            "decoder_weights: nothing of that language model fits the decoder "
            f"(given {_sizes(model.decoder, model.tokenizer)}; needed {_sizes(decoder, tokenizer)})"
        )
    return Takeover(tuple(text for text in taken.values() if text), tuple(n for n, text in taken.items() if not text))


def _common_rows(given: Tokenizer, own: Tokenizer) -> tuple[Tensor, Tensor]:
    """Return the token ids of the pieces that both vocabularies have, in the given one and in the own."""
    if given.name != own.name:
        return torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long)
    texts = [piece for piece in own.vocabulary if given.knows(piece)]
    pairs = [(given.bos_id, own.bos_id), (given.unk_id, own.unk_id)] if texts else []
    pairs += [(given.encode(text)[0], own.encode(text)[0]) for text in texts]
    both = torch.tensor(pairs, dtype=torch.long).view(-1, 2)
    return both[:, 0], both[:, 1]


def _copy(name: str, own: Tensor, given: Mapping[str, Tensor], rows: tuple[Tensor, Tensor]) -> str:
    """Copy what fits of a tensor; return what was taken, as text, or an empty one."""
    source = given.get(name)
    if source is None:
        return ""
    if name in BY_PIECE:
        if source.shape[1:] != own.shape[1:] or not len(rows[0]):
            return ""
        own[rows[1]] = source[rows[0]]
        return f"{name} ({len(rows[0])} of {len(own)} rows)"
    if source.shape != own.shape:
        return ""
    own.copy_(source)
    return name


def _sizes(decoder: Decoder[Any, Any], tokenizer: Tokenizer) -> str:
    config = decoder.config
    return f"{config.cell}, {config.hidden_size} units, embedding of {config.embedding_size}, {tokenizer.name} tokens"
