"""How well a language model predicts a text."""

import math

import torch
from torch import Tensor

from training.language.model import LanguageModel
from training.language.text import TextStreams
from training.losses import cross_entropy

CHUNK = 500  # tokens read at once; it bounds memory and does not change the result


@torch.inference_mode()
def text_loss(model: LanguageModel, tokens: Tensor) -> float:
    """Return the mean of ``-log p(token | all tokens before)`` in nats, from ``<START>`` to the end of the text.

    Args:
        model: The language model.
        tokens: ``[T]``, the text.
    """
    decoder, tokenizer = model.decoder, model.tokenizer
    text = TextStreams(tokens, tokenizer.bos_id, streams=1, chunk=CHUNK)
    memory = decoder.prepare_nothing(1)
    state, total = decoder.begin(memory), 0.0
    for position in range(len(text)):
        chunk = text.chunk(position).to(decoder.device)
        run = decoder.teacher_force(chunk.inputs, memory, state)
        loss = cross_entropy(run.logits, chunk.targets, tokenizer.pad_id, label_smoothing=0.0)
        state, total = run.state, total + float(loss) * chunk.targets.numel()
    return total / len(tokens)


def likelihood_scores(model: LanguageModel, tokens: Tensor) -> dict[str, float]:
    """Return the loss of a text in nats per token, and the same in the unit in which its kind of model is compared.

    That is bits per character of a model of characters, and perplexity of others.
    """
    loss = text_loss(model, tokens)
    if model.tokenizer.name == "character":
        return {"validation_loss": loss, "bits_per_character": loss / math.log(2)}
    return {"validation_loss": loss, "perplexity": math.exp(min(loss, 700.0))}  # above that a float overflows
