"""What captions are made of: their lengths, and how many of their words a vocabulary has."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Split = Callable[[str], list[str]]


@dataclass(frozen=True)
class Lengths:
    """How many tokens captions have.

    Attributes:
        counts: How many captions there are of each length.
        limit: The length that longer ones are cut to.
    """

    counts: Counter[int]
    limit: int

    @classmethod
    def of(cls, captions: Iterable[str], split: Split, limit: int) -> "Lengths":
        """Measure captions."""
        return cls(Counter(len(split(caption)) for caption in captions), limit)

    @property
    def total(self) -> int:
        """Number of captions."""
        return self.counts.total()

    @property
    def longest(self) -> int:
        """Most tokens of a caption; 0 if there is none."""
        return max(self.counts, default=0)

    @property
    def mean(self) -> float:
        """Tokens per caption."""
        return sum(length * count for length, count in self.counts.items()) / max(self.total, 1)

    @property
    def median(self) -> int:
        """The length that half of the captions do not exceed."""
        return self.covering(0.5)

    @property
    def cut(self) -> int:
        """Number of captions that are too long."""
        return sum(count for length, count in self.counts.items() if length > self.limit)

    def covering(self, share: float) -> int:
        """Return the smallest limit that leaves at least this share of the captions whole."""
        whole = 0
        for length in sorted(self.counts):
            whole += self.counts[length]
            if whole >= share * self.total:
                return length
        return self.longest

    def bins(self, most: int = 12) -> list[tuple[int, int, int]]:
        """Return at most so many ranges of lengths of equal width: first length, last length, number of captions."""
        width = max(1, -(-(self.longest + 1) // most))
        starts = range(0, self.longest + 1, width)
        return [(low, low + width - 1, sum(self.counts[n] for n in range(low, low + width))) for low in starts]


@dataclass(frozen=True)
class Coverage:
    """How much of some captions a vocabulary has.

    Attributes:
        min_count: How often a word must occur in the training captions to be in it.
        size: Number of its words.
        unknown: Number of words of the captions that it lacks.
        tokens: Share of all words of the captions that it has.
        types: Share of their different words that it has.
    """

    min_count: int
    size: int
    unknown: int
    tokens: float
    types: float


def count_words(captions: Iterable[str], split: Split) -> Counter[str]:
    """Return how often each word occurs."""
    return Counter(word for caption in captions for word in split(caption))


def vocabulary(learnt: Counter[str], min_count: int, max_size: int = 0) -> list[str]:
    """Return the words that a tokenizer learns from captions, the most frequent first."""
    frequent = sorted((word for word, count in learnt.items() if count >= min_count), key=lambda w: (-learnt[w], w))
    return frequent[: max_size or None]


def coverage(learnt: Counter[str], read: Counter[str], min_count: int, max_size: int = 0) -> Coverage:
    """Return how much of the words that are read the words that were learnt cover."""
    words = set(vocabulary(learnt, min_count, max_size))
    known = [word for word in read if word in words]
    covered, total = sum(read[word] for word in known), read.total()
    return Coverage(min_count, len(words), total - covered, covered / max(total, 1), len(known) / max(len(read), 1))


def unknown(learnt: Counter[str], read: Counter[str], min_count: int, max_size: int = 0) -> list[tuple[str, int]]:
    """Return the words that are read but not in the vocabulary, the most frequent first."""
    words = set(vocabulary(learnt, min_count, max_size))
    return [(word, count) for word, count in read.most_common() if word not in words]
