"""How well confidences hold on photos that they were not fitted to."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner.confidence import FEATURES, Calibration
from training.evaluation.examples import Examples
from training.evaluation.fitting import probability
from training.evaluation.reliability import Bin, Risk, calibration_error, halves, reliability, risk_coverage

Array = NDArray[np.float64]
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
        captions: Caption confidence against the share of good captions.
        risks: Mean CIDEr and share of poor captions when only the most confident are kept.
        confident_cider: Mean CIDEr, times 100, of the most confident half of the photos.
        doubtful_cider: That of the other half.
        flagged: Share of captions that need review.
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
    captions: list[Bin]
    risks: list[Risk]
    confident_cider: float
    doubtful_cider: float
    flagged: float
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
    sure = np.array([calibration.caption(mean) for mean in examples.mean_log_prob])
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
        captions=captions,
        risks=risk_coverage(sure, cider, good),
        confident_cider=confident,
        doubtful_cider=doubtful,
        flagged=float(flagged.mean()),
        flagged_cider=_mean(cider[flagged]),
        kept_cider=_mean(cider[~flagged]),
        flagged_poor=_mean(1 - good[flagged]),
        kept_poor=_mean(1 - good[~flagged]),
    )


def _mean(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None
