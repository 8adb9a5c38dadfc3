"""How sure one can be of a caption: calibrated probabilities that words and captions are right.

A network's own probabilities say how likely a word is among all words, not how often it is right. A calibration, fitted
by ``python -m training calibrate`` to photos with reference captions, turns them into numbers that can be taken at
their word: of the words with confidence 0.8, about 80 % are right. It is a few dozen numbers in a checkpoint's header.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner.config import STRICT
from captioner.errors import ConfigError
from captioner.types import Word

FEATURES = ("log_odds", "log_rank", "log_position", "caption_log_prob")
CAPTION_FEATURES = ("caption_log_prob", "telling_log_odds")
RISING = (0, 3)  # the features in which confidence must not fall
LARGEST_ODDS = 12.0  # a float32 probability can round to 1, whose log-odds have no end
FIRST_WORD = 4  # token id of the most frequent word; rank 1


@dataclass(frozen=True)
class WordCalibration:
    """From what search knows of a word to the probability that the word is right.

    A logistic regression joins the four ``FEATURES`` to one score; a rising curve of straight pieces (isotonic
    regression, Zadrozny and Elkan 2002) corrects what the logistic function misses. With the weights ``(1 / T, 0, 0,
    0)``, no bias and a curve along the logistic function this is temperature scaling (Guo et al. 2017).

    Attributes:
        weights: Of the word's log-odds given the image and the words before it, of the logarithm of its rank in the
            vocabulary, of the logarithm of its place in the caption, both counted from 1, and of the caption's mean
            log-probability per token. The first and the last are at least 0, so that confidence never falls as
            probability rises.
        bias: What is added to their sum.
        scores: K rising scores at which the curve has its corners.
        confidences: The K probabilities there, not falling; left and right of the corners the curve is level.
        agreement: A word counts as right if so many of a photo's references have it; all, if there are fewer.
    """

    __pydantic_config__ = STRICT
    weights: tuple[float, float, float, float]
    bias: float
    scores: tuple[float, ...]
    confidences: tuple[float, ...]
    agreement: int = 2

    def __post_init__(self) -> None:
        _check_finite("word calibration", (*self.weights, self.bias, *self.scores, *self.confidences))
        for index in RISING:
            if self.weights[index] < 0:
                raise ConfigError(f"the weight of {FEATURES[index]} is {self.weights[index]}; it must be at least 0")
        if not self.scores or len(self.scores) != len(self.confidences):
            raise ConfigError(
                f"{len(self.scores)} scores and {len(self.confidences)} confidences; need as many, above 0"
            )
        if any(np.diff(self.scores) <= 0) or any(np.diff(self.confidences) < 0):
            raise ConfigError("the scores of a calibration must rise and its confidences must not fall")
        if self.confidences[0] < 0 or self.confidences[-1] > 1:
            raise ConfigError("the confidences of a calibration must be between 0 and 1")

    def __call__(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the confidence ``[W]`` of W words, given their features ``[W, 4]``."""
        scores = features @ np.array(self.weights) + self.bias
        confidences: NDArray[np.float64] = np.interp(scores, self.scores, self.confidences)
        return confidences


@dataclass(frozen=True)
class CaptionCalibration:
    """From what search knows of a caption to the probability that the caption is good.

    A logistic regression over the two ``CAPTION_FEATURES``. The mean log-probability alone is ruled by the many common
    words, which come easily on any photo; on photos unlike those learnt from it is the rare words that give way.

    Attributes:
        slope: Of the mean log-probability per token, the ending included; at least 0.
        bias: What is added before the logistic function.
        good_cider: A caption counts as good if its CIDEr-D against the photo's references, between 0 and 10, is at
            least this.
        review_below: A person should look at captions of a lower confidence than this.
        telling_slope: Of the mean log-odds of the words, each weighted by the logarithm of its rank in the vocabulary;
            at least 0.
    """

    __pydantic_config__ = STRICT
    slope: float
    bias: float
    good_cider: float
    review_below: float
    telling_slope: float = 0.0

    def __post_init__(self) -> None:
        slopes = {"slope": self.slope, "telling_slope": self.telling_slope}
        _check_finite("caption calibration", (*slopes.values(), self.bias, self.good_cider, self.review_below))
        for name, value in slopes.items():
            if value < 0:
                raise ConfigError(f"the {name} of a caption calibration is {value}; it must be at least 0")
        if not 0 <= self.review_below <= 1:
            raise ConfigError(f"review_below is {self.review_below}; it must be between 0 and 1")

    def __call__(self, features: NDArray[np.float64]) -> float:
        """Return the confidence of a caption, given its ``CAPTION_FEATURES`` ``[2]``."""
        return logistic(float(features @ np.array([self.slope, self.telling_slope])) + self.bias)


@dataclass(frozen=True)
class Calibration:
    """What a checkpoint says about how far its captions can be trusted.

    Attributes:
        word: For words.
        caption: For captions.
        provenance: Free: the data and search that it was fitted to, and how well it held on other photos.
    """

    __pydantic_config__ = STRICT
    word: WordCalibration
    caption: CaptionCalibration
    provenance: dict[str, Any] = field(default_factory=dict)

    def confidences(
        self, words: Sequence[Word], tokens: Sequence[int], token_logprobs: Sequence[float]
    ) -> tuple[list[float | None], float | None]:
        """Return the confidence of T words and that of the caption which they are.

        Words that the vocabulary lacks have none, nor has a caption with such a word.

        Args:
            words: The words.
            tokens: At least T token ids, those of the words first.
            token_logprobs: The log-probability of each token.
        """
        features = word_features(tokens[: len(words)], token_logprobs)
        each = [float(value) if word.known else None for word, value in zip(words, self.word(features), strict=True)]
        return each, None if None in each else self.caption(caption_features(features, token_logprobs))


def word_features(tokens: Sequence[int], token_logprobs: Sequence[float]) -> NDArray[np.float64]:
    """Return the ``FEATURES`` ``[T, 4]`` of the T words of a caption.

    Args:
        tokens: Their T token ids.
        token_logprobs: The natural-log probabilities of all the caption's tokens, the ending included if it has one.
    """
    log_probs = np.minimum(np.array(token_logprobs, dtype=np.float64), 0.0)
    words = len(tokens)
    ranks = np.maximum(np.array(tokens, dtype=np.float64) - FIRST_WORD + 1, 1)
    mean = np.full(words, log_probs.mean() if len(log_probs) else 0.0)
    return np.stack([log_odds(log_probs[:words]), np.log(ranks), np.log1p(np.arange(words)), mean], axis=1)


def caption_features(words: NDArray[np.float64], token_logprobs: Sequence[float]) -> NDArray[np.float64]:
    """Return the ``CAPTION_FEATURES`` ``[2]`` of a caption.

    Args:
        words: The ``FEATURES`` ``[T, 4]`` of its T words.
        token_logprobs: The natural-log probabilities of all its tokens, the ending included if it has one.
    """
    odds, ranks = words[:, FEATURES.index("log_odds")], words[:, FEATURES.index("log_rank")]
    mean = sum(token_logprobs) / max(1, len(token_logprobs))
    telling = float(ranks @ odds / ranks.sum()) if ranks.any() else mean  # the most frequent word alone tells nothing
    return np.array([mean, telling])


def log_odds(log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``log(p / (1 - p))`` for ``log p``, between -12 and 12."""
    rest = np.log(np.maximum(-np.expm1(log_probs), math.exp(-LARGEST_ODDS)))
    return np.clip(log_probs - rest, -LARGEST_ODDS, LARGEST_ODDS)


def logistic(value: float) -> float:
    """Return ``1 / (1 + exp(-value))`` without overflow."""
    return 0.5 * (1 + math.tanh(0.5 * value))


def _check_finite(what: str, numbers: Sequence[float]) -> None:
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(f"a {what} holds a number that is not finite")
