"""Batches of photos with all their questions, in an order that is a function of seed and epoch."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from captioner.answers.header import MAX_QUESTION
from captioner.tokenizers import Tokenizer
from captioner.types import Features
from training.answers.recipe import QuestionsRecipe
from training.errors import DataError
from training.inputs.sources import FeatureSource
from training.questions.files import PhotoQuestion

SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


def choose_answers(questions: Sequence[PhotoQuestion], recipe: QuestionsRecipe) -> tuple[str, ...]:
    """Return the answers that are learnt, the most frequent first, as frequent ones in alphabetical order.

    Raises:
        DataError: If none is right of enough questions.
    """
    counts = Counter(answer for one in questions for answer, score in one.scores().items() if score == 1)
    found = sorted((answer for answer, count in counts.items() if count >= recipe.least), key=lambda a: (-counts[a], a))
    if not found:
        raise DataError(f"no answer is right of {recipe.least} questions; lower questions.least")
    return tuple(found[: recipe.most or None])


@dataclass(frozen=True)
class Encoded:
    """Questions as the network reads them.

    Attributes:
        tokens: ``[Q, T]``, padded at their ends.
        lengths: ``[Q]``.
        scores: ``[Q, A]``, how right each answer is, from 0 to 1.
    """

    tokens: Tensor
    lengths: Tensor
    scores: Tensor


def encode_questions(questions: Sequence[PhotoQuestion], tokenizer: Tokenizer, answers: Sequence[str]) -> Encoded:
    """Return questions as numbers; longer ones are cut, and one without a word has one unknown word."""
    ids = [tokenizer.encode(one.text)[:MAX_QUESTION] or [tokenizer.unk_id] for one in questions]
    tokens = torch.full((len(ids), max(map(len, ids))), tokenizer.pad_id)
    scores, column = torch.zeros(len(ids), len(answers)), {answer: index for index, answer in enumerate(answers)}
    for row, (words, one) in enumerate(zip(ids, questions, strict=True)):
        tokens[row, : len(words)] = torch.tensor(words)
        for answer, score in one.scores().items():
            if answer in column:
                scores[row, column[answer]] = score
    return Encoded(tokens, torch.tensor([len(words) for words in ids]), scores)


@dataclass(frozen=True)
class QuestionBatch:
    """Questions about some photos.

    Attributes:
        features: Of the B photos; ``None`` for a network that does not see.
        photos: ``[R]``, the photo of each question among these.
        tokens: ``[R, T]``.
        lengths: ``[R]``.
        targets: ``[R, A]``, what the distribution over answers shall be.
        ids: Of the questions, in their file.
    """

    features: Features | None
    photos: Tensor
    tokens: Tensor
    lengths: Tensor
    targets: Tensor
    ids: Sequence[int]


class QuestionBatches:
    """The questions of a training set; those of which no learnt answer is right are left out.

    Args:
        questions: All of them.
        encoded: The same as numbers.
        rows: Where a photo stands among the features, by its name.
        size: Photos of a batch.
        seed: Of the order.
        mirror: Whether photos are mirrored, by chance.
        unknown: Probability with which a word is shown as the unknown one, and the id of that.
        cells: Share of the grid's cells that a batch shows.
    """

    def __init__(
        self,
        questions: Sequence[PhotoQuestion],
        encoded: Encoded,
        rows: Mapping[str, int],
        size: int,
        seed: int,
        mirror: bool,
        unknown: tuple[float, int],
        cells: float = 1.0,
    ) -> None:
        self.questions, self.encoded, self.size, self.seed, self.unknown = questions, encoded, size, seed, unknown
        self.cells = cells
        usable = (encoded.scores.sum(dim=1) > 0).tolist()
        by_photo: dict[str, list[int]] = defaultdict(list)
        for index, one in enumerate(questions):
            if usable[index]:
                by_photo[one.photo].append(index)
        self.photos = list(by_photo.items())
        self.places = torch.tensor([rows[photo] for photo, _ in self.photos])
        sided = [any(SIDES.search(questions[index].text) for index in found) for _, found in self.photos]
        self.mirrorable = torch.tensor([mirror and not one for one in sided])

    def __len__(self) -> int:
        """Batches of an epoch."""
        return math.ceil(len(self.photos) / self.size)

    def batch(self, source: FeatureSource | None, epoch: int, position: int) -> QuestionBatch:
        """Return the batch at a position; the same arguments give the same one."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.photos))
        numbers = torch.Generator().manual_seed(hash((self.seed, epoch, position)) % 2**63)
        chosen = torch.from_numpy(order[position * self.size : (position + 1) * self.size].copy())
        mirror = (torch.rand(len(chosen), generator=numbers) < 0.5) & self.mirrorable[chosen]
        found = [self.photos[index][1] for index in chosen.tolist()]
        rows = torch.tensor([index for indices in found for index in indices])
        photos = torch.tensor([photo for photo, indices in enumerate(found) for _ in indices])
        features = None
        if source is not None:
            features, _ = source.read(self.places[chosen], mirror, torch.zeros(len(chosen), dtype=torch.long))
            features = self._thinned(features, numbers)
        lengths = self.encoded.lengths[rows]
        tokens = self._with_unknown(self.encoded.tokens[rows][:, : int(lengths.max())], lengths, numbers)
        scores = self.encoded.scores[rows]
        ids = [self.questions[index].question_id for index in rows.tolist()]
        return QuestionBatch(features, photos, tokens, lengths, scores / scores.sum(dim=1, keepdim=True), ids)

    def _thinned(self, features: Features, numbers: torch.Generator) -> Features:
        grid = features.require_grid()
        shown = max(1, round(self.cells * grid.shape[1]))
        if shown == grid.shape[1]:
            return features
        return replace(features, grid=grid[:, torch.randperm(grid.shape[1], generator=numbers)[:shown]])

    def _with_unknown(self, tokens: Tensor, lengths: Tensor, numbers: torch.Generator) -> Tensor:
        share, unknown = self.unknown
        words = torch.arange(tokens.shape[1]) < lengths[:, None]
        drawn = torch.rand(tokens.shape, generator=numbers) < share
        return tokens.masked_fill(words & drawn, unknown)
