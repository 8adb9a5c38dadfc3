"""Fitting a model's confidences to photos with references."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner.calibration import RISING, Calibration, CaptionCalibration, WordCalibration
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
        review_below: Captions of a lower confidence need review. At 0.5 those do that are more likely poor than good.
    """

    agreement: int = 2
    good_cider: float = 0.2
    review_below: float = 0.5

    def __post_init__(self) -> None:
        if self.agreement < 1:
            raise OptionError(f"agreement is {self.agreement}; it must be at least 1")
        if not 0 < self.good_cider <= 10:
            raise OptionError(f"good_cider is {self.good_cider}; it must be above 0 and at most 10")
        if not 0 <= self.review_below <= 1:
            raise OptionError(f"review_below is {self.review_below}; it must be between 0 and 1")


@dataclass(frozen=True)
class Study:
    """A calibration, and how well it holds.

    Attributes:
        calibration: Fitted to one half of the photos.
        standards: What it was fitted to.
        fitted_photos: How many photos that half has.
        measured: How well it holds on the other half.
        swapped_word_error: Expected calibration error of words when the halves change places.
    """

    calibration: Calibration
    standards: Standards
    fitted_photos: int
    measured: Measured
    swapped_word_error: float

    def to_dict(self) -> dict[str, Any]:
        """Return what was found as plain values."""
        return {
            "standards": asdict(self.standards),
            "fitted_photos": self.fitted_photos,
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
            "cider_of_confident_half": _round(found.confident_cider),
            "cider_of_other_half": _round(found.doubtful_cider),
            "needs_review": _round(found.flagged),
        }
        return replace(self.calibration, provenance={**protocol, **held})


def study(examples: Examples, first: NDArray[np.bool_], standards: Standards) -> Study:
    """Fit a calibration to some photos and measure it on the others.

    Args:
        examples: Of I photos.
        first: ``[I]``, which photos to fit to.
        standards: What counts as right, good and worth a look.

    Raises:
        TrainingError: If there are too few photos, or all words or captions are equally right.
    """
    ours, others = examples.of(first), examples.of(~first)
    calibration, swapped = fit_calibration(ours, standards), fit_calibration(others, standards)
    return Study(
        calibration,
        standards,
        len(ours.cider),
        measure(calibration, others, _inverse_temperature(ours)),
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
    slope, bias = rising_logistic(examples.mean_log_prob[:, None], good, [0])
    caption = CaptionCalibration(_round(slope[0]), _round(bias), standards.good_cider, standards.review_below)
    return Calibration(_fit_words(examples, standards.agreement), caption)


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
