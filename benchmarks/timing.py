"""Times of several pieces of work, taken in turn, and what can be said of them: percentiles and ratios.

A machine that others use changes its speed from second to second. So everything that is to be compared is run once
in every round, one after the other, and ratios are taken within a round: a round that was slow was slow for all.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from captioner.errors import OptionError


@dataclass(frozen=True)
class Work:
    """Something to time.

    Attributes:
        name: What it is.
        run: Does it once.
        photos: For how many photos; times are told per photo.
    """

    name: str
    run: Callable[[], object]
    photos: int = 1


Times = Mapping[str, Sequence[float]]  # seconds per photo of each round, by the name of the work


def seconds_of(run: Callable[[], object]) -> float:
    """Return how many seconds something takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def in_turn(works: Sequence[Work], rounds: int) -> dict[str, list[float]]:
    """Run all works once to warm up, and then once in each of so many rounds.

    Returns:
        The seconds per photo of each round, by the work's name.

    Raises:
        OptionError: If there is no round.
    """
    if rounds < 1:
        raise OptionError(f"rounds is {rounds}; it must be at least 1")
    for work in works:
        work.run()
    times: dict[str, list[float]] = {work.name: [] for work in works}
    for _ in range(rounds):
        for work in works:
            times[work.name].append(seconds_of(work.run) / work.photos)
    return times


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which so many percent lie, interpolated linearly; not a number if there is none."""
    return float(np.percentile(values, percent)) if len(values) else float("nan")


@dataclass(frozen=True)
class Ratio:
    """How many times as long one work takes as another.

    Attributes:
        median: Over the rounds.
        low: The lower quartile.
        high: The upper quartile.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Return the ratio of two works' times, taken round by round.

    Args:
        above: Of each round.
        below: Of the same rounds.
    """
    within = [one / other for one, other in zip(above, below, strict=True)]
    return Ratio(statistics.median(within), percentile(within, 25), percentile(within, 75))


def without(times: Sequence[float], *parts: Sequence[float]) -> list[float]:
    """Return what is left of the times when parts that were timed alone are taken away, round by round."""
    return [whole - sum(taken) for whole, *taken in zip(times, *parts, strict=True)]


def summary(times: Sequence[float]) -> dict[str, float]:
    """Return the median, the fastest and the slowest tenth of times in seconds, as milliseconds."""
    milliseconds = [1000 * value for value in times]
    return {
        "median_ms": statistics.median(milliseconds),
        "fastest_ms": min(milliseconds),
        "p90_ms": percentile(milliseconds, 90),
    }
