"""The log-probability and attention of captions that are given, rather than searched for."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from captioner.decoding import SpecialTokens
from captioner.types import AnySteps, Hypothesis


def score(
    decoder: AnySteps, memory: Any, captions: Sequence[Sequence[int]], special: SpecialTokens
) -> list[Hypothesis]:
    """Score one caption per image, by the steps that search takes.

    Args:
        decoder: What scores the next token.
        memory: What ``decoder.prepare`` returned for B images.
        captions: B captions as token ids, without ``<START>`` and ``<END>``.
        special: The ids of the special tokens.

    Returns:
        The captions as search would report them, ``<END>`` included.
    """
    endings = [(*caption, special.eos_id) for caption in captions]
    state = decoder.begin(memory)
    read = np.full(len(captions), special.bos_id)
    log_probs, attention = [], []
    for column in zip_longest(*endings, fillvalue=special.eos_id):  # what follows an ending is not looked at
        step = decoder.step(read, memory, state)
        state, read = step.state, np.array(column)
        log_probs.append(np.take_along_axis(step.log_probs, read[:, None], axis=1)[:, 0])
        attention.append(step.attention)
    by_caption = np.stack(log_probs, axis=1).tolist()  # [B, T + 1]
    maps = None if attention[0] is None else np.stack([a for a in attention if a is not None], axis=1)
    return [
        Hypothesis(
            tokens=tokens,
            token_logprobs=tuple(by_caption[image][: len(tokens)]),
            attention=None if maps is None else maps[image, : len(tokens)],
            finished=True,
        )
        for image, tokens in enumerate(endings)
    ]
