"""How far a score could lie elsewhere, had other photos of the same kind been drawn: bootstrap intervals."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from captioner.errors import OptionError
from training.evaluation.metrics import MetricReport, corpus_bleu

NUMBERS_AT_ONCE = 4_000_000  # of the matrix of draws: 32 MB

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are found (Efron and Tibshirani 1993, the percentile method).

    Attributes:
        replicates: How often as many photos are drawn, with replacement, as there are.
        level: How much of the replicates an interval holds.
        seed: Of the draws.
    """

    replicates: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.replicates < 100:
            raise OptionError(f"replicates is {self.replicates}; it must be at least 100")
        if not 0 < self.level < 1:
            raise OptionError(f"level is {self.level}; it must be between 0 and 1")

    def interval(self, per_photo: Array, statistic: Callable[[Array], Array] = lambda mean: mean) -> Array:
        """Return the ends of the interval of a statistic of a mean over photos.

        Args:
            per_photo: ``[I, S]``, S numbers of each of I photos.
            statistic: From means ``[R, S]`` to the statistics ``[R, M]`` of R replicates.

        Returns:
            ``[2, M]``, the lower and upper ends.
        """
        photos = len(per_photo)
        found = np.concatenate([statistic(draws @ per_photo / photos) for draws in self._draws(photos)])
        tail = (1 - self.level) / 2
        ends: Array = np.quantile(found, [tail, 1 - tail], axis=0)
        return ends

    def _draws(self, photos: int) -> Iterator[Array]:
        """Yield how often each replicate has each photo, ``[R, I]``, a block of replicates at a time."""
        random = np.random.default_rng(self.seed)
        block = max(1, NUMBERS_AT_ONCE // photos)
        for start in range(0, self.replicates, block):
            size = min(block, self.replicates - start)
            yield random.multinomial(photos, np.full(photos, 1 / photos), size).astype(np.float64)


def score_intervals(report: MetricReport, bootstrap: Bootstrap) -> dict[str, tuple[float, float]]:
    """Return the interval of each score of a report, times 100, by the names of ``MetricReport.percent``.

    ROUGE-L and CIDEr are means over photos; CIDEr's document frequencies stay those of all photos. Corpus BLEU is
    computed anew from the counts of the photos drawn.
    """
    means = np.stack([list(report.per_image_rouge_l.values()), list(report.per_image_cider.values())], axis=1)
    photos = len(means)
    bleu = bootstrap.interval(report.bleu_counts, lambda mean: corpus_bleu(mean * photos))
    ends = 100 * np.concatenate([bleu, bootstrap.interval(means)], axis=1)  # [2, 6]
    return {name: (float(low), float(high)) for name, (low, high) in zip(report.percent(), ends.T, strict=True)}
