"""Fitting a model's confidences to photos with references."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner.calibration import CAPTION_FEATURES, RISING, Calibration, CaptionCalibration, WordCalibration
from captioner.errors import OptionError
from training.errors import TrainingError
from training.evaluation.examples import Examples
from training.evaluation.fitting import fit_inverse_temperature, fit_rising_curve, rising_logistic
from training.evaluation.reliability import ODDS, Measured, measure

Array = NDArray[np.float64]
LEAST = 20  # photos in each half
DIGITS = 6  # of the numbers in a checkpoint


@dataclass(frozen=True)
class Standards:
    """What counts as right, as good, and as worth a look.

    Attributes:
        agreement: A word is right if so many of the photo's references have it; all, if there are fewer.
        good_cider: A caption is good if its CIDEr-D, between 0 and 10, is at least this; else it is poor.
        review_share: Captions of the lowest confidence need review, this share of those that the calibration is fitted
            to at most.
        review_below: If given, captions of a lower confidence than this need review, however many they are. At 0.5
            those do that are more likely poor than good.
    """

    agreement: int = 2
    good_cider: float = 0.2
    review_share: float = 0.25
    review_below: float | None = None

    def __post_init__(self) -> None:
        if self.agreement < 1:
            raise OptionError(f"agreement is {self.agreement}; it must be at least 1")
        if not 0 < self.good_cider <= 10:
            raise OptionError(f"good_cider is {self.good_cider}; it must be above 0 and at most 10")
        if not 0 <= self.review_share <= 1:
            raise OptionError(f"review_share is {self.review_share}; it must be between 0 and 1")
        if self.review_below is not None and not 0 <= self.review_below <= 1:
            raise OptionError(f"review_below is {self.review_below}; it must be between 0 and 1")


@dataclass(frozen=True)
class Study:
    """A calibration, and how well it holds.

    Attributes:
        calibration: Fitted to all photos.
        standards: What it was fitted to.
        fitted_photos: How many photos that are.
        half_photos: How many of them the calibration that was measured was fitted to: one half.
        measured: How well that one holds on the other half.
        swapped_word_error: Expected calibration error of words when the halves change places.
    """

    calibration: Calibration
    standards: Standards
    fitted_photos: int
    half_photos: int
    measured: Measured
    swapped_word_error: float

    def to_dict(self) -> dict[str, Any]:
        """Return what was found as plain values."""
        return {
            "standards": asdict(self.standards),
            "fitted_photos": self.fitted_photos,
            "half_photos": self.half_photos,
            "swapped_word_error": self.swapped_word_error,
            **self.measured.to_dict(),
        }

    def in_checkpoint(self, protocol: dict[str, Any]) -> Calibration:
        """Return the calibration with a short account of what it was fitted to and how well it holds."""
        found = self.measured
        held = {
            "fitted_photos": self.fitted_photos,
            "measured_photos": found.photos,
            "word_calibration_error": _round(found.word_error),
            "caption_calibration_error": _round(found.caption_error),
            "caption_auroc": None if found.caption_auroc is None else _round(found.caption_auroc),
            "cider_of_confident_half": _round(found.confident_cider),
            "cider_of_other_half": _round(found.doubtful_cider),
            "needs_review": _round(found.flagged),
        }
        return replace(self.calibration, provenance={**protocol, **held})


def study(examples: Examples, first: NDArray[np.bool_], standards: Standards) -> Study:
    """Fit a calibration to photos, and measure on one half of them how well such a fit to the other half holds.

    Args:
        examples: Of I photos.
        first: ``[I]``, which photos are the half that the one measured is fitted to.
        standards: What counts as right, good and worth a look.

    Raises:
        TrainingError: If there are too few photos, or all words or captions are equally right.
    """
    ours, others = examples.of(first), examples.of(~first)
    half, swapped = fit_calibration(ours, standards), fit_calibration(others, standards)
    return Study(
        fit_calibration(examples, standards),
        standards,
        len(examples.cider),
        len(ours.cider),
        measure(half, others, _inverse_temperature(ours)),
        measure(swapped, ours, _inverse_temperature(others)).word_error,
    )


def _inverse_temperature(examples: Examples) -> float:
    return fit_inverse_temperature(examples.features[:, ODDS], examples.right)


def fit_calibration(examples: Examples, standards: Standards) -> Calibration:
    """Fit confidences of words and captions.

    Raises:
        TrainingError: If there are too few photos, or all words or captions are equally right.
    """
    good = (examples.cider >= standards.good_cider).astype(np.float64)
    if len(good) < LEAST:
        raise TrainingError(
            f"{len(good)} photos are too few to calibrate with; at least {LEAST} are needed in each half"
        )
    for what, labels in (("words are right", examples.right), ("captions are good", good)):
        if labels.min() == labels.max():
            raise TrainingError(f"{'all' if labels.min() else 'no'} {what}; there is nothing to calibrate")
    return Calibration(_fit_words(examples, standards.agreement), _fit_captions(examples, good, standards))


def _fit_captions(examples: Examples, good: Array, standards: Standards) -> CaptionCalibration:
    slopes, bias = rising_logistic(examples.caption_features, good, range(len(CAPTION_FEATURES)))
    slope, telling_slope = map(_round, slopes)
    found = CaptionCalibration(slope, _round(bias), standards.good_cider, 0.0, telling_slope)
    if standards.review_below is not None:
        return replace(found, review_below=standards.review_below)
    sure = np.sort([found(features) for features in examples.caption_features])
    limit = sure[min(int(standards.review_share * len(sure)), len(sure) - 1)]  # so many lie below it, at most
    return replace(found, review_below=math.floor(limit * 10**DIGITS) / 10**DIGITS)


def _fit_words(examples: Examples, agreement: int) -> WordCalibration:
    weights, bias = rising_logistic(examples.features, examples.right, RISING)
    first, second, third, fourth = map(_round, weights)
    scores, confidences = fit_rising_curve(examples.features @ weights + bias, examples.right)
    return WordCalibration(
        (first, second, third, fourth),
        _round(bias),
        tuple(map(_round, scores)),
        tuple(map(_round, confidences)),
        agreement,
    )


def _round(value: float) -> float:
    return round(float(value), DIGITS)
