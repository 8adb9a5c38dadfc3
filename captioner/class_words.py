"""Words that a classifier finds in an image's vector, for search to prefer where the decoder would leave them out.

What the captions of the training say seldom a decoder hardly learns to say; a classifier that was pretrained with the
encoder may know the thing all the same. The method is this project's own (docs/lab/experiments.md, 37): the word of the
most probable classes, if they are probable enough, gets a bonus in beam search (:mod:`captioner.decoding.wanted`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from captioner.config import STRICT
from captioner.decoding import Wanted
from captioner.errors import ConfigError
from captioner.ranges import Range, check_ranges
from captioner.types import FloatArray, IntArray

PREFIX = "class_words."  # what the names of its tensors in a checkpoint begin with
MATRIX, SCALES, BIAS = (f"{PREFIX}{name}" for name in ("weight", "weight.scale", "bias"))
STEPS = 127  # of 8 bits, on either side of zero


@dataclass(frozen=True)
class ClassWord:
    """A word and the classes that it names.

    Attributes:
        text: The word, in the singular.
        tokens: The token ids of those of its forms that the vocabulary has.
        classes: Rows of the classifier.
    """

    __pydantic_config__ = STRICT
    text: str
    tokens: tuple[int, ...]
    classes: tuple[int, ...]

    def __post_init__(self) -> None:
        for name, numbers in (("tokens", self.tokens), ("classes", self.classes)):
            if not numbers or min(numbers) < 0:
                raise ConfigError(f"class word {self.text!r}: {name} are {[*numbers]}; at least one, none below 0")


@dataclass(frozen=True)
class ClassVocabulary:
    """Which words there are, and when and by how much search prefers them; what a checkpoint's header says of it.

    Attributes:
        words: The words, each once. A class has one at most; classes without one count in what is probable.
        threshold: A word is wanted if its classes together are more probable than this.
        bonus: What is then added to the log-probability of hypotheses that have it.
        provenance: Free: where classifier and names come from, and how seldom the words were.
    """

    __pydantic_config__ = STRICT
    words: tuple[ClassWord, ...]
    threshold: Annotated[float, Range(0, 1)] = 0.2
    bonus: Annotated[float, Range(0, 100)] = 6.0
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_ranges(self, "class words' ")
        named = [one for word in self.words for one in word.classes]
        if not self.words or len(set(named)) < len(named):
            raise ConfigError("class words must be at least one, and no class may have two")

    def require(self, classes: int, tokens: int) -> None:
        """Make sure that there are as many classes and tokens as it names.

        Raises:
            ConfigError: If not.
        """
        for word in self.words:
            if max(word.classes) >= classes or max(word.tokens) >= tokens:
                raise ConfigError(
                    f"class word {word.text!r} is of classes {[*word.classes]} and tokens {[*word.tokens]}; there are "
                    f"{classes} classes and {tokens} tokens"
                )


@dataclass(frozen=True, eq=False)
class ClassWords:
    """A linear classifier of C classes over image vectors, and the words of some of them.

    Attributes:
        vocabulary: The words.
        integers: ``[C, P]`` int8; row c of the classifier's matrix is ``scales[c]`` times row c of these.
        scales: ``[C]`` float32.
        bias: ``[C]`` float32.
    """

    vocabulary: ClassVocabulary
    integers: NDArray[np.int8]
    scales: FloatArray
    bias: FloatArray

    def __post_init__(self) -> None:
        shape = self.integers.shape
        if len(shape) != 2 or self.scales.shape != shape[:1] or self.bias.shape != shape[:1]:
            sizes = ", ".join(str([*one.shape]) for one in (self.integers, self.scales, self.bias))
            raise ConfigError(f"the classifier of class words is {sizes}; it must be [C, P], [C] and [C]")

    @classmethod
    def of(cls, vocabulary: ClassVocabulary, matrix: FloatArray, bias: FloatArray) -> "ClassWords":
        """Round a classifier, a matrix ``[C, P]`` and a bias ``[C]``, to 8 bits, each row to steps of its own."""
        scales = np.maximum(np.abs(matrix).max(axis=1), np.finfo(np.float32).tiny) / np.float32(STEPS)
        integers = np.rint(matrix / scales[:, None]).astype(np.int8)
        return cls(vocabulary, integers, scales.astype(np.float32), bias.astype(np.float32))

    @classmethod
    def read(
        cls, vocabulary: ClassVocabulary | None, tensors: Mapping[str, NDArray[Any]], tokens: int
    ) -> "ClassWords | None":
        """Return what a checkpoint has; ``None`` if that is none.

        Args:
            vocabulary: What its header says.
            tensors: Among them those that :meth:`tensors` returned.
            tokens: How many its tokenizer knows.

        Raises:
            ConfigError: If the tensors are missing, or do not fit the header or each other.
        """
        if vocabulary is None:
            return None
        missing = [name for name in (MATRIX, SCALES, BIAS) if name not in tensors]
        if missing:
            raise ConfigError(f"class words lack the tensors {', '.join(missing)}")
        found = cls(vocabulary, tensors[MATRIX], tensors[SCALES], tensors[BIAS])
        vocabulary.require(len(found.bias), tokens)
        return found

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint holds besides its header."""
        return {MATRIX: self.integers, SCALES: self.scales, BIAS: self.bias}

    def same_as(self, other: "ClassWords | None") -> bool:
        """Tell whether another one finds the same words."""
        if other is None or self.vocabulary != other.vocabulary:
            return False
        theirs = other.tensors()
        return all(np.array_equal(value, theirs[name]) for name, value in self.tensors().items())

    def probabilities(self, vectors: FloatArray) -> FloatArray:
        """Return the probabilities of the words, ``[B, W]``, given image vectors ``[B, P]``.

        They are the sums over each word's classes of a softmax over all classes.
        """
        # The threads of a BLAS would wait for cores that the network keeps busy: 6 ms in place of 0.3.
        logits = np.einsum("bp,cp->bc", vectors, self._matrix) + self.bias  # [B, C]
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        classes, starts = self._named
        words: FloatArray = np.add.reduceat(probabilities[:, classes], starts, axis=1)
        return words

    def find(self, vectors: FloatArray) -> list[ClassWord | None]:
        """Return for each image vector ``[B, P]`` its most probable word, if that is above the threshold."""
        probabilities = self.probabilities(vectors)
        best = probabilities.argmax(axis=1)
        above = probabilities.max(axis=1) > self.vocabulary.threshold
        return [self.vocabulary.words[word] if sure else None for word, sure in zip(best, above, strict=True)]

    def wanted(self, vectors: FloatArray) -> Wanted | None:
        """Return what search shall want of B images; ``None`` if no image has a word."""
        found = self.find(vectors)
        if not any(found):
            return None
        return Wanted(_padded([word.tokens if word else () for word in found]), self.vocabulary.bonus)

    @cached_property
    def _named(self) -> tuple[IntArray, IntArray]:
        """The classes of all words, one word after the other, and where each word's begin."""
        classes = [word.classes for word in self.vocabulary.words]
        starts = np.cumsum([0, *map(len, classes[:-1])])
        return np.concatenate([np.array(one, dtype=np.int64) for one in classes]), starts

    @cached_property
    def _matrix(self) -> FloatArray:
        """``[C, P]``."""
        matrix: FloatArray = self.integers.astype(np.float32) * self.scales[:, None]
        return matrix


def _padded(rows: Sequence[Sequence[int]]) -> IntArray:
    """Return token ids as a table whose rows are filled up with -1."""
    padded = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int64)
    for row, tokens in zip(padded, rows, strict=True):
        row[: len(tokens)] = tokens
    return padded
