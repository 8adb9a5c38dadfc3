"""From a language model's recipe to everything that its run works with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captioner.config import to_dict
from captioner.tokenizers import Tokenizer
from training.language.model import LanguageDecoder
from training.language.recipe import LanguageRecipe
from training.language.text import Text, TextStreams, load_text
from training.runs.provenance import commit


@dataclass(frozen=True)
class TextBench:
    """What a run works with.

    Attributes:
        decoder: The network, fresh.
        tokenizer: Made from the text.
        streams: What to learn from.
        held_out: ``[T]``, the tokens to validate on.
        provenance: Where the model comes from, as far as it is known before training.
    """

    decoder: LanguageDecoder
    tokenizer: Tokenizer
    streams: TextStreams
    held_out: Tensor
    provenance: Mapping[str, Any]


def set_up_text(recipe: LanguageRecipe) -> TextBench:
    """Read the text and build the decoder.

    Raises:
        ConfigError: If the decoder cannot be built.
        DataError: If the text cannot be used.
    """
    text = load_text(recipe.text, recipe.tokenizer)
    training = recipe.training
    torch.manual_seed(recipe.seed)
    decoder = LanguageDecoder(recipe.decoder, len(text.tokenizer))
    streams = TextStreams(text.learnt, text.tokenizer.bos_id, training.streams, training.chunk)
    return TextBench(decoder, text.tokenizer, streams, text.held_out, _provenance(recipe, text))


def _provenance(recipe: LanguageRecipe, text: Text) -> dict[str, Any]:
    public = {key: value for key, value in to_dict(recipe).items() if key != "runs"}
    public["text"] = {"validation_share": recipe.text.validation_share}
    return {
        "name": recipe.name,
        "version": recipe.version,
        "recipe": public,
        "data": {
            "text_sha256": text.sha256,
            "tokens": len(text.learnt),
            "validation_tokens": len(text.held_out),
            "unknown_validation_tokens": int((text.held_out == text.tokenizer.unk_id).sum()),
        },
        "commit": commit(),
    }
