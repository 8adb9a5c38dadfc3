"""The hypotheses of an image that ended."""

from collections.abc import Sequence
from typing import NamedTuple

from captioner.decoding.options import DecodingOptions


class End(NamedTuple):
    """Where a hypothesis ended.

    Attributes:
        score: What it is ranked by.
        slot: The slot that held it.
        length: Its tokens before ``<END>``.
        log_prob: Natural-log probability of ``<END>``.
    """

    score: float
    slot: int
    length: int
    log_prob: float


class Pool:
    """The best hypotheses of one image that ended, each once."""

    def __init__(self, options: DecodingOptions) -> None:
        self._options = options
        self._ends: list[End] = []  # best first, at most ``num_captions``
        self._seen: set[tuple[int, ...]] = set()

    def add(self, total: float, tokens: Sequence[int], slot: int, end: float) -> None:
        """Take in a hypothesis that ended.

        Args:
            total: Its natural-log probability.
            tokens: Its tokens before ``<END>``.
            slot: The slot that holds them.
            end: The log-probability of ``<END>`` alone.
        """
        if tuple(tokens) in self._seen:
            return
        self._seen.add(tuple(tokens))
        score = self._options.score(total, len(tokens) + 1)
        self._ends.append(End(score, slot, len(tokens), end))
        self._ends.sort(key=lambda entry: entry.score, reverse=True)  # of equals, the one that was first
        del self._ends[self._options.num_captions :]

    def closed_to(self, log_prob: float, length: int) -> bool:
        """Tell whether a hypothesis of at most this probability and length cannot enter any more."""
        full = len(self._ends) == self._options.num_captions
        return full and self._ends[-1].score >= self._options.score(log_prob, length)

    def best(self) -> list[End]:
        """Return what ended, best first."""
        return self._ends
