"""What goes on inside a language model while it reads a text."""

import numpy as np
import torch
from numpy.typing import NDArray

from captioner.errors import OptionError
from training.language.model import LanguageModel

MAX_TEXT = 20_000  # tokens


def text_activations(model: LanguageModel, text: str) -> tuple[list[str], dict[str, NDArray[np.float32]]]:
    """Read a text from ``<START>`` on and note every gate and state.

    Args:
        model: The language model.
        text: What to read; pieces that the vocabulary lacks are read as ``<UNK>``.

    Returns:
        The T pieces of the text, and from a name such as ``"language.0.forget"`` to ``[T, N]``: row t belongs to the
        step that read piece t.

    Raises:
        OptionError: If the text has no token, or too many.
    """
    decoder, tokenizer = model.decoder, model.tokenizer
    pieces = tokenizer.split(text)
    if not 1 <= len(pieces) <= MAX_TEXT:
        raise OptionError(f"the text has {len(pieces)} tokens; it must have between 1 and {MAX_TEXT}")
    tokens = torch.tensor([[tokenizer.bos_id, *tokenizer.encode(text)]], device=decoder.device)
    memory = decoder.prepare_nothing(1)
    record = decoder.inspect(tokens, memory, decoder.begin(memory))
    return pieces, {name: values[0, 1:].float().cpu().numpy() for name, values in record.items()}
