"""How far confidences hold what they promise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BINS = 10
COVERAGES = tuple(percent / 100 for percent in range(10, 101, 10))


@dataclass(frozen=True)
class Bin:
    """The examples whose confidence lies in one range.

    Attributes:
        low: Where the range begins.
        high: Where it ends.
        count: How many examples lie there.
        confidence: Their mean confidence.
        right: The share of them that is right.
    """

    low: float
    high: float
    count: int
    confidence: float
    right: float


def reliability(confidences: Array, right: Array, bins: int = BINS) -> list[Bin]:
    """Sort examples into equally wide ranges of confidence; ranges without examples are left out.

    Args:
        confidences: ``[N]`` between 0 and 1.
        right: ``[N]`` zeros and ones.
        bins: How many ranges.
    """
    place = np.minimum((confidences * bins).astype(int), bins - 1)
    chosen = [(index, place == index) for index in range(bins) if (place == index).any()]
    return [
        Bin(
            index / bins,
            (index + 1) / bins,
            int(mask.sum()),
            float(confidences[mask].mean()),
            float(right[mask].mean()),
        )
        for index, mask in chosen
    ]


def calibration_error(table: Sequence[Bin]) -> float:
    """Return the expected calibration error: the mean gap of confidence and share that is right, over examples."""
    return sum(one.count * abs(one.confidence - one.right) for one in table) / sum(one.count for one in table)


@dataclass(frozen=True)
class Risk:
    """The captions that remain when only the most confident are kept.

    Attributes:
        coverage: The share of captions that is kept.
        least: The confidence of the least confident one kept.
        cider: Their mean CIDEr, times 100.
        poor: The share of them that is poor.
    """

    coverage: float
    least: float
    cider: float
    poor: float


def risk_coverage(confidences: Array, cider: Array, good: Array) -> list[Risk]:
    """Return what remains for each coverage from 10 % to 100 %.

    Args:
        confidences: ``[I]``, one per photo.
        cider: ``[I]``, CIDEr times 100.
        good: ``[I]`` zeros and ones.
    """
    order = np.argsort(-confidences, kind="stable")
    rows = []
    for coverage in COVERAGES:
        kept = order[: max(1, round(coverage * len(order)))]
        rows.append(
            Risk(coverage, float(confidences[kept[-1]]), float(cider[kept].mean()), 1 - float(good[kept].mean()))
        )
    return rows


def halves(confidences: Array, cider: Array) -> tuple[float, float]:
    """Return the mean of ``cider`` over the most confident half of the photos, and over the other half."""
    order = np.argsort(-confidences, kind="stable")
    middle = (len(order) + 1) // 2
    return float(cider[order[:middle]].mean()), float(cider[order[middle:]].mean())
