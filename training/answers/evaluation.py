"""A network's answers beside two guesses, by kind of question, with intervals: what it gains by looking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from captioner.answers.checkpoint import AnswerModel
from captioner.model import CaptionModel
from training.answers.batches import encode_questions
from training.answers.scoring import best_answers
from training.answers.setup import photo_names, plain_features, rows_of
from training.errors import DataError
from training.evaluation.bootstrap import Bootstrap
from training.questions.files import PhotoQuestion

Array = NDArray[np.float64]
NETWORK, ALONE, FREQUENT = "network", "question alone", "most frequent"


@dataclass(frozen=True)
class Measured:
    """A score with its interval, from 0 to 1."""

    value: float
    low: float
    high: float

    @property
    def percent(self) -> str:
        """The score and its interval as percentages."""
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class AnswerEvaluation:
    """How right answers are.

    Attributes:
        counts: Questions of each kind.
        scores: Of each way to answer, of each kind and of their ``mean``.
        gains: How much the network is above the question alone, of each kind and of their mean; empty without that.
    """

    counts: Mapping[str, int]
    scores: Mapping[str, Mapping[str, Measured]]
    gains: Mapping[str, Measured]

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON values."""
        scores = {way: {kind: vars(one) for kind, one in found.items()} for way, found in self.scores.items()}
        return {
            "questions": self.counts,
            "scores": scores,
            "gains": {kind: vars(one) for kind, one in self.gains.items()},
        }


def scores_of_network(
    model: AnswerModel,
    questions: Sequence[PhotoQuestion],
    captioner: CaptionModel | None,
    images: Path,
    cache: Path,
) -> Array:
    """Return how right a network's most probable answer is to each question, ``[Q]``.

    Args:
        model: The network.
        questions: What it is asked.
        captioner: By whose encoder it sees; ``None`` for one that does not see.
        images: Folder of the photos.
        cache: Folder of the feature cache.
    """
    encoded = encode_questions(questions, model.description.tokenizer, model.description.answers)
    names = photo_names(questions, images)
    rows = rows_of(names)
    features = None if captioner is None else plain_features(captioner, images, names, cache, "encoding photos")
    found = best_answers(model.network, encoded, features, [rows[one.photo] for one in questions])
    right: torch.Tensor = encoded.scores.gather(1, found[:, None]).squeeze(1)
    return right.double().numpy()


def scores_of_guess(questions: Sequence[PhotoQuestion], guesses: Mapping[str, str]) -> Array:
    """Return how right the most frequent answer of its kind is to each question, ``[Q]``."""
    return np.array([one.scores().get(guesses.get(one.kind, ""), 0.0) for one in questions])


def compare(questions: Sequence[PhotoQuestion], scores: Mapping[str, Array], bootstrap: Bootstrap) -> AnswerEvaluation:
    """Return the scores of several ways to answer, by kind, with intervals of draws of photos.

    Args:
        questions: Q of them.
        scores: Of each way, ``[Q]``; that of the network is ``NETWORK``, that without the photo ``ALONE``.
        bootstrap: How to draw.

    Raises:
        DataError: If there are no questions.
    """
    if not questions:
        raise DataError("there are no questions to evaluate")
    kinds = sorted({one.kind for one in questions})
    photos = {photo: row for row, photo in enumerate(sorted({one.photo for one in questions}))}
    counts, sums = np.zeros((len(photos), len(kinds))), {way: np.zeros((len(photos), len(kinds))) for way in scores}
    for index, one in enumerate(questions):
        place = photos[one.photo], kinds.index(one.kind)
        counts[place] += 1
        for way, values in scores.items():
            sums[way][place] += values[index]
    named = [*kinds, "mean"]
    measured = {way: _measured(found, counts, named, bootstrap) for way, found in sums.items()}
    gains = {}
    if NETWORK in sums and ALONE in sums:
        gains = _measured(sums[NETWORK] - sums[ALONE], counts, named, bootstrap)
    totals = {kind: int(count) for kind, count in zip(kinds, counts.sum(axis=0), strict=True)}
    return AnswerEvaluation(totals, measured, gains)


def _measured(sums: Array, counts: Array, named: Sequence[str], bootstrap: Bootstrap) -> dict[str, Measured]:
    """Return sums over counts of each kind, and the mean over kinds, with intervals."""
    kinds = counts.shape[1]

    def statistic(mean: Array) -> Array:
        by_kind = mean[:, :kinds] / np.maximum(mean[:, kinds:], 1e-12)
        return np.concatenate([by_kind, by_kind.mean(axis=1, keepdims=True)], axis=1)

    per_photo = np.concatenate([sums, counts], axis=1)
    values = statistic(per_photo.mean(axis=0, keepdims=True))[0]
    low, high = bootstrap.interval(per_photo, statistic)
    return {name: Measured(*map(float, found)) for name, *found in zip(named, values, low, high, strict=True)}


def summary(found: AnswerEvaluation) -> str:
    """Return the scores as lines, a kind each."""
    ways = list(found.scores)
    header = f"{'':8} {'questions':>9}  " + "  ".join(f"{way:>20}" for way in ways)
    lines = [header + (f"  {'gain by looking':>20}" if found.gains else "")]
    for kind in found.scores[ways[0]]:
        count = found.counts.get(kind, sum(found.counts.values()))
        row = f"{kind:8} {count:9,}  " + "  ".join(f"{found.scores[way][kind].percent:>20}" for way in ways)
        lines.append(row + (f"  {found.gains[kind].percent:>20}" if found.gains else ""))
    return "\n".join(lines)
