"""How far confidences hold what they promise."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from captioner.calibration import FEATURES, Calibration
from training.evaluation.examples import Examples
from training.evaluation.fitting import probability

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


def auroc(confidences: Array, good: Array) -> float | None:
    """Return how likely a good caption has a higher confidence than a poor one; ties count half.

    That is the area under the curve of caught against falsely alarmed (Hanley and McNeil 1982), by the mean rank of the
    good ones.

    Args:
        confidences: ``[I]``.
        good: ``[I]`` zeros and ones.

    Returns:
        0.5 for confidences that tell nothing, 1 for those that tell all; ``None`` if all captions are alike.
    """
    _, places, counts = np.unique(confidences, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    hits, misses = float(good.sum()), float((1 - good).sum())
    if not hits or not misses:
        return None
    return float((ranks @ good - hits * (hits + 1) / 2) / (hits * misses))


ODDS = FEATURES.index("log_odds")


@dataclass(frozen=True)
class Measured:
    """What was found.

    Attributes:
        photos: How many.
        word_error: Expected calibration error of word confidence.
        raw_word_error: That of the network's own probabilities.
        temperature_word_error: That of temperature scaling alone.
        words: Word confidence against the share of right words.
        caption_error: Expected calibration error of caption confidence.
        caption_auroc: How likely a good caption has a higher confidence than a poor one.
        captions: Caption confidence against the share of good captions.
        risks: Mean CIDEr and share of poor captions when only the most confident are kept.
        confident_cider: Mean CIDEr, times 100, of the most confident half of the photos.
        doubtful_cider: That of the other half.
        flagged: Share of captions that need review.
        caught: Share of the poor captions that need review.
        flagged_cider: Their mean CIDEr, times 100.
        kept_cider: That of the others.
        flagged_poor: Share of poor captions among those that need review.
        kept_poor: Share of poor captions among the others.
    """

    photos: int
    word_error: float
    raw_word_error: float
    temperature_word_error: float
    words: list[Bin]
    caption_error: float
    caption_auroc: float | None
    captions: list[Bin]
    risks: list[Risk]
    confident_cider: float
    doubtful_cider: float
    flagged: float
    caught: float | None
    flagged_cider: float | None
    kept_cider: float | None
    flagged_poor: float | None
    kept_poor: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain values."""
        return asdict(self)


def measure(calibration: Calibration, examples: Examples, inverse_temperature: float) -> Measured:
    """Measure a calibration on examples.

    Args:
        calibration: What to measure.
        examples: Of photos that it was not fitted to.
        inverse_temperature: Of temperature scaling, to compare with.
    """
    odds = examples.features[:, ODDS]
    words = reliability(calibration.word(examples.features), examples.right)
    sure = np.array([calibration.caption(features) for features in examples.caption_features])
    cider = 100 * examples.cider
    good = (examples.cider >= calibration.caption.good_cider).astype(np.float64)
    captions = reliability(sure, good)
    flagged = sure < calibration.caption.review_below
    confident, doubtful = halves(sure, cider)
    return Measured(
        photos=len(sure),
        word_error=calibration_error(words),
        raw_word_error=calibration_error(reliability(probability(odds), examples.right)),
        temperature_word_error=calibration_error(reliability(probability(inverse_temperature * odds), examples.right)),
        words=words,
        caption_error=calibration_error(captions),
        caption_auroc=auroc(sure, good),
        captions=captions,
        risks=risk_coverage(sure, cider, good),
        confident_cider=confident,
        doubtful_cider=doubtful,
        flagged=float(flagged.mean()),
        caught=_mean(flagged[good == 0].astype(np.float64)),
        flagged_cider=_mean(cider[flagged]),
        kept_cider=_mean(cider[~flagged]),
        flagged_poor=_mean(1 - good[flagged]),
        kept_poor=_mean(1 - good[~flagged]),
    )


@dataclass(frozen=True)
class Trust:
    """How far a calibrated model's confidences hold on photos that may have been none of those it was fitted to.

    Attributes:
        good_cider: A caption is good if its CIDEr-D, between 0 and 10, is at least this.
        poor: Share of the captions that are not.
        auroc: How likely a good caption has a higher confidence than a poor one.
        caught: Share of the poor captions that need review.
        flagged: Share of all captions that do.
        caption_error: Expected calibration error of caption confidence.
        word_error: That of word confidence.
    """

    good_cider: float
    poor: float
    auroc: float | None
    caught: float | None
    flagged: float
    caption_error: float
    word_error: float


def trust(calibration: Calibration, examples: Examples) -> Trust:
    """Measure how far confidences hold, by the standards that the calibration was fitted to."""
    found, least = measure(calibration, examples, inverse_temperature=1.0), calibration.caption.good_cider
    poor = float((examples.cider < least).mean())
    return Trust(least, poor, found.caption_auroc, found.caught, found.flagged, found.caption_error, found.word_error)


def _mean(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None


ENOUGH = 10  # examples that a point of the curve stands for
INK, GLOW, QUIET = "#4338a8", "#b45309", "#8b8498"


def save_reliability_plot(path: Path, measured: Measured) -> None:
    """Draw reliability of words and captions, and the risk-coverage curve.

    Args:
        path: Where to, a PNG.
        measured: What to draw.
    """
    figure = Figure(figsize=(13, 4.4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    words, captions, risk = figure.subplots(1, 3)
    _reliability(words, measured.words, f"Words, calibration error {measured.word_error:.3f}", "share that is right")
    _reliability(
        captions, measured.captions, f"Captions, calibration error {measured.caption_error:.3f}", "share that is good"
    )
    _risk(risk, measured)
    figure.savefig(path)


def _reliability(axes: Axes, table: Sequence[Bin], title: str, label: str) -> None:
    most = max(one.count for one in table)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle="--")
    axes.bar(
        [(one.low + one.high) / 2 for one in table],
        [0.3 * one.count / most for one in table],
        width=[0.9 * (one.high - one.low) for one in table],
        color=INK,
        alpha=0.15,
    )
    enough = [one for one in table if one.count >= ENOUGH]
    axes.plot([one.confidence for one in enough], [one.right for one in enough], color=INK, marker="o", linewidth=2)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence (bars: how many)", ylabel=label, title=title)
    axes.grid(visible=True, alpha=0.3)


def _risk(axes: Axes, measured: Measured) -> None:
    coverage = [100 * one.coverage for one in measured.risks]
    axes.plot(coverage, [one.cider for one in measured.risks], color=INK, marker="o", linewidth=2)
    axes.set(xlabel="most confident captions kept, %", ylabel="their mean CIDEr", title="Risk and coverage")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    share = axes.twinx()
    share.plot(coverage, [100 * one.poor for one in measured.risks], color=GLOW, linestyle="--", linewidth=2)
    share.set_ylabel("poor among them, % (dashed)", color=GLOW)
    share.set_ylim(0, 100)
