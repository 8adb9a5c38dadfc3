"""What a model is measured against: the same model by torch, and a plain beam search of one image.

The search is what a textbook would write: the steps of one image's beams, Python lists for what they wrote, no batch of
images, no groups, no constraints but the tokens that are never written, no consensus. It finds what the library's
search finds, which a test holds both to.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captioner.decoders import Decoder
from captioner.decoding import DecodingOptions, SpecialTokens
from captioner.predictor import CaptionPredictor
from captioner.runtimes.torch import TorchRuntime
from captioner.types import Features

IMPOSSIBLE = -1e9  # below every real log-probability


def load_torch(
    checkpoint: Path | None, device: torch.device | None = None, threads: int | None = None
) -> tuple[CaptionPredictor, TorchRuntime]:
    """Load a model that torch computes; return it, and what computes it.

    Args:
        checkpoint: Its file; ``None`` is the shipped model.
        device: Where to compute; the CPU if left out.
        threads: CPU threads; ``None`` leaves them to the library.

    Raises:
        CheckpointError: If the file cannot be used.
    """
    predictor = CaptionPredictor.from_checkpoint(checkpoint, runtime="torch", threads=threads)
    runtime = predictor.runtime
    if not isinstance(runtime, TorchRuntime):
        raise TypeError(f"the runtime torch is a {type(runtime).__name__}")
    if device is not None:
        runtime.model.to(device)
    return predictor, runtime


@dataclass(frozen=True)
class Ended:
    """A caption that ended.

    Attributes:
        score: What it is ranked by.
        tokens: Its ids, ``<END>`` left out.
        log_prob: Natural-log probability of all of it, ``<END>`` included.
    """

    score: float
    tokens: tuple[int, ...]
    log_prob: float


@torch.inference_mode()
def plain_beam_search(
    decoder: Decoder[Any, Any], features: Features[Any], special: SpecialTokens, options: DecodingOptions
) -> Ended:
    """Return the best caption of one image.

    Args:
        decoder: What scores the next token.
        features: Of one image, B = 1.
        special: The ids of the special tokens.
        options: ``beam_size``, ``max_length`` and ``length_penalty`` count; the caption is that of ``consensus`` 0.

    Returns:
        The caption of the highest score that ended; one that did not, if none did.
    """
    width, longest = options.beam_size, options.max_length
    memory = decoder.prepare(features)
    state = decoder.begin(memory, width)
    written: list[tuple[int, ...]] = [()] * width
    scores = torch.tensor([0.0] + [IMPOSSIBLE] * (width - 1))  # [K]: alike at first, so that one speaks for all
    last = torch.full((width,), special.bos_id)
    ended: list[Ended] = []
    for length in range(longest + 1):
        step = decoder.step(last, memory, state)
        totals = scores[:, None] + _log_probs(step.logits, special)  # [K, V]
        best, index = totals.flatten().topk(2 * width)  # at most half of these end
        parents, words = index // totals.shape[1], index % totals.shape[1]
        ends = words == special.eos_id
        for total, parent in zip(best[ends].tolist(), parents[ends].tolist(), strict=True):
            if total > IMPOSSIBLE / 2:
                ended.append(Ended(options.score(total, length + 1), written[parent], total))
        going = (~ends).nonzero().flatten()[:width]
        top = max(ended, key=lambda one: one.score, default=None)
        soon = min(length + 1 + options.lookahead, longest + 1)
        least = top.score * soon**options.length_penalty if top else IMPOSSIBLE  # to win by ending soon
        if length == longest or float(best[going[0]]) <= least:
            break
        scores, parents, last = best[going].where(best[going] > least, IMPOSSIBLE), parents[going], words[going]
        written = [(*written[parent], word) for parent, word in zip(parents.tolist(), last.tolist(), strict=True)]
        state = step.state.select(parents)
    return top or Ended(options.score(float(scores[0]), longest), written[0], float(scores[0]))


def _log_probs(logits: Tensor, special: SpecialTokens) -> Tensor:
    """Return the natural-log probabilities ``[K, V]``, those of tokens that are never written made impossible."""
    log_probs = logits.float().log_softmax(dim=1)
    log_probs[:, list(special.banned)] = IMPOSSIBLE
    return log_probs
