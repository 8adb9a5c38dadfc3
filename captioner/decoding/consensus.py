"""Minimum Bayes risk: of several captions the one that the others agree with most."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

LONGEST = 4  # n-grams have up to so many tokens, as in BLEU and CIDEr

Counted = tuple[Counter[tuple[int, ...]], int]  # n-grams of one size, and the sum of their squares
Counts = list[Counted]


def consensus(captions: Sequence[Sequence[int]], scores: Sequence[float], temperature: float) -> int:
    """Return which of some captions is most like all of them, each weighted by how likely it is.

    A search finds many ways to say the same, which share its probability; the likeliest single one may say something
    else. ``argmax_i sum_j p_j sim(i, j)`` with ``p_j`` in proportion to ``exp(score_j / temperature)`` is the one of
    the least expected loss (Kumar and Byrne 2004), as far as these captions stand for all.

    Args:
        captions: Their tokens, at least one caption.
        scores: What a search ranks them by.
        temperature: Above 0; near 0 the highest score decides, at high ones all captions count alike.

    Returns:
        Its place; of equals the first.
    """
    weights = np.exp((np.array(scores) - max(scores)) / temperature)
    counted = [counts(tokens) for tokens in captions]
    expected = [
        sum(weight * similarity(one, other) for weight, other in zip(weights, counted, strict=True)) for one in counted
    ]
    return int(np.argmax(expected))


def counts(tokens: Sequence[int]) -> Counts:
    """Return how often a caption has each n-gram, for n from 1 to 4, and the sums of these numbers' squares."""
    sizes = range(1, LONGEST + 1)
    counted = [Counter(zip(*(tokens[start:] for start in range(size)))) for size in sizes]  # noqa: B905
    return [(ngrams, sum(count * count for count in ngrams.values())) for ngrams in counted]


def similarity(one: Counts, other: Counts) -> float:
    """Return the mean over n of the cosine between two captions' n-gram counts, from 0 to 1.

    It is CIDEr (Vedantam et al. 2015) without weights of n-grams, which would need the training captions.
    """
    return sum(_cosine(a, b) for a, b in zip(one, other, strict=True)) / LONGEST


def _cosine(one: Counted, other: Counted) -> float:
    (ours, square), (theirs, their_square) = one, other
    product = sum(count * theirs[ngram] for ngram, count in ours.items() if ngram in theirs)
    return product / math.sqrt(square * their_square) if product else 0.0
