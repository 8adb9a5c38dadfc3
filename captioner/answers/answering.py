"""Questions to answers: the words of a question, the network, and what is told of what it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from captioner.answers.header import (
    MAX_QUESTION,
    SHIPPED_ANSWERS,
    AnswerDescription,
    EncoderIdentity,
    describe_answers,
)
from captioner.errors import OptionError
from captioner.header import CheckpointFile
from captioner.types import Features, FloatArray, IntArray

MAX_ANSWERS = 20


@dataclass(frozen=True)
class Answer:
    """One of the answers to a question.

    Attributes:
        text: What is answered.
        probability: How probable the network finds it, from 0 to 1.
    """

    text: str
    probability: float


@dataclass(frozen=True)
class Answers:
    """What a network says to a question about a photo.

    Attributes:
        question: As it was asked.
        answers: The most probable ones, best first.
        attention: ``[rows, cols]``, where it looked, weights that sum to one; ``None`` for one that does not see.
        unknown: The words of the question that it does not know.
    """

    question: str
    answers: tuple[Answer, ...]
    attention: FloatArray | None
    unknown: tuple[str, ...]


class Network(Protocol):
    """What computes the answers, wherever that is."""

    def answer(
        self, tokens: IntArray, lengths: IntArray, features: Features[Any]
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the probabilities of the answers ``[B, A]``, and where it looked, ``[B, L]``."""
        ...


class Answering:
    """Answers questions about photos that a captioner's encoder has seen. The network is loaded when it is first asked.

    Args:
        encoder: That of the captioner.
        runtime: "onnx" or "torch", which is what the captioner runs in.
        path: The file; ``None`` is the shipped one.

    Raises:
        CheckpointError: If the file cannot be used, or goes with another encoder.
    """

    def __init__(self, encoder: EncoderIdentity, runtime: str, path: Path | str | None = None) -> None:
        self._file: CheckpointFile | None = CheckpointFile.read(path or SHIPPED_ANSWERS)
        self.description: AnswerDescription = describe_answers(self._file)
        self.description.encoder.require(encoder, self._file.path)
        self._runtime = runtime
        self._network: Network | None = None

    def questions(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of questions.

        Raises:
            OptionError: If one has no words, or too many.
        """
        found = [self.description.tokenizer.encode(text) for text in texts]
        for text, ids in zip(texts, found, strict=True):
            if not 1 <= len(ids) <= MAX_QUESTION:
                raise OptionError(
                    f"the question {text!r:.60} has {len(ids)} words; it must have between 1 and {MAX_QUESTION}"
                )
        return found

    def understands(self, text: str) -> bool:
        """Whether a question's words are all known, and neither none nor too many."""
        return 1 <= len(self.description.tokenizer.encode(text)) <= MAX_QUESTION and not self._unknown(text)

    def answer(self, features: Features[Any], texts: Sequence[str], count: int = 5) -> list[Answers]:
        """Answer one question about each of B photos.

        Args:
            features: What the captioner's encoder sees in the photos.
            texts: The questions, B of them.
            count: How many answers to give, at most.

        Raises:
            OptionError: If a question has no words or too many, or the count is out of range.
        """
        if not 1 <= count <= MAX_ANSWERS:
            raise OptionError(f"num_answers is {count}; it must be between 1 and {MAX_ANSWERS}")
        ids = self.questions(texts)
        lengths = np.array([len(one) for one in ids])
        tokens = np.full((len(ids), int(lengths.max())), self.description.tokenizer.pad_id)
        for row, one in enumerate(ids):
            tokens[row, : len(one)] = one
        probabilities, weights = self._loaded().answer(tokens, lengths, features)
        maps = None if weights is None else weights.reshape(len(ids), features.rows, features.cols)
        return [
            Answers(
                text, self._best(probabilities[row], count), None if maps is None else maps[row], self._unknown(text)
            )
            for row, text in enumerate(texts)
        ]

    def _best(self, probabilities: FloatArray, count: int) -> tuple[Answer, ...]:
        order = np.argsort(-probabilities, kind="stable")[:count]
        return tuple(Answer(self.description.answers[index], float(probabilities[index])) for index in order)

    def _unknown(self, text: str) -> tuple[str, ...]:
        tokenizer = self.description.tokenizer
        return tuple(dict.fromkeys(word for word in tokenizer.split(text) if not tokenizer.knows(word)))

    def _loaded(self) -> Network:
        if self._network is None and self._file is not None:
            self._network, self._file = _load(self._file, self._runtime), None
        if self._network is None:
            raise RuntimeError("the network was neither loaded nor kept")
        return self._network


def _load(file: CheckpointFile, runtime: str) -> Network:
    if runtime == "onnx" and "onnx" in file.metadata:
        from captioner.answers.onnx import OnnxAnswers  # noqa: PLC0415 - one runtime must do without the other

        return OnnxAnswers.load(file)
    if not find_spec("torch"):
        raise OptionError(f"{file.path}: it has no ONNX graphs; where torch is, captioner export adds them")
    from captioner.answers.checkpoint import build_answers  # noqa: PLC0415
    from captioner.answers.torch import TorchAnswers  # noqa: PLC0415

    return TorchAnswers(build_answers(file).network)
