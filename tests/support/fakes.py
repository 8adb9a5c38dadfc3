"""Models of a few lines, to put behind the service."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from captioner.answers.answering import Answer, Answers
from captioner.decoding import DecodingOptions
from captioner.errors import OptionError
from captioner.types import Caption, Word
from service.inference.predictor import Predictor

CELLS = ((0, 0), (1, 5), (3, 3), (6, 0), (6, 6))  # where the fake looks for its words, as (row, col)
STRANGE = "blorf"


@dataclass(frozen=True)
class FakeInfo:
    name: str = "fake"
    version: str = "1.2.3"
    sha256: str = 64 * "f"
    details: Mapping[str, Any] = field(default_factory=lambda: {"vocabulary": 5})


def fake_caption(words: Sequence[str], log_prob: float, activations: bool) -> Caption:
    attention = np.full((len(words), 7, 7), 0.4 / 48, np.float32)
    for word in range(len(words)):
        attention[word][CELLS[word % len(CELLS)]] = 0.6
    inside = (np.arange(3 * len(words)).reshape(-1, 3) / 7).astype(np.float32)
    return Caption(
        text=" ".join(words),
        words=tuple(Word(text, -0.25 * (i + 1), known=text != STRANGE) for i, text in enumerate(words)),
        log_prob=log_prob,
        attention=attention,
        finished=True,
        activations={"language.0.forget": inside} if activations else None,
    )


class MutePredictor(Predictor):
    """Names the photo's red; its captions differ in one word; it answers no questions, and watches no clips."""

    info = FakeInfo()

    def captions(
        self, images: Sequence[Image.Image], options: DecodingOptions, *, activations: bool = False
    ) -> list[list[Caption]]:
        if STRANGE in options.beginning:
            raise OptionError(f"beginning: the model does not know {STRANGE}")
        reds = [str(image.convert("RGB").getpixel((0, 0))[0]) for image in images]  # type: ignore[index]
        photos = ["photo", *(f"photo-{k}" for k in range(2, options.num_captions + 1))]
        return [
            [fake_caption(("a", photo, "of", "red", red), -4.0 - k, activations) for k, photo in enumerate(photos)]
            for red in reds
        ]

    def scores(
        self, images: Sequence[Image.Image], texts: Sequence[str], *, activations: bool = False
    ) -> list[Caption]:
        if not all(text.split() for text in texts):
            raise OptionError("the text has 0 words; it must have between 1 and 200")
        return [fake_caption(text.split(), -23.14, activations) for _, text in zip(images, texts, strict=True)]


class FakePredictor(MutePredictor):
    """A model that answers questions and watches clips, too; it knows all words but one."""

    compiles_sizes = True

    def answers(self, images: Sequence[Image.Image], questions: Sequence[str], count: int = 5) -> list[Answers]:
        if not all(question.strip("? ") for question in questions):
            raise OptionError("the question has 0 words; it must have between 1 and 30")
        reds: list[int] = [image.convert("RGB").getpixel((0, 0))[0] for image in images]  # type: ignore[index]
        weights = np.full((7, 7), 0.4 / 48, np.float32)
        weights[CELLS[1]] = 0.6
        choices = [(Answer(str(red), 0.75), Answer(str(red + 1), 0.125)) for red in reds]
        unknown = [(STRANGE,) if STRANGE in question else () for question in questions]
        return [
            Answers(question, found[:count], weights, strange)
            for question, found, strange in zip(questions, choices, unknown, strict=True)
        ]

    def understands(self, question: str) -> bool:
        return STRANGE not in question

    def caption_frames(self, frames: Sequence[Image.Image], options: DecodingOptions) -> list[Caption]:
        if STRANGE in options.beginning:
            raise OptionError(f"beginning: the model does not know {STRANGE}")
        reds = [str(frame.convert("RGB").getpixel((0, 0))[0]) for frame in frames]  # type: ignore[index]
        words = ("a", "clip", "of", *reds)
        attention = np.full((len(words), len(frames), 7, 7), 0.4 / (48 * len(frames)), np.float32)
        for word in range(len(words)):
            for frame in range(len(frames)):
                attention[(word, frame, *CELLS[frame % len(CELLS)])] = 0.6 / len(frames)
        return [replace(fake_caption(words, -3.0, activations=False), attention=attention, needs_review=True)]


class BlindPredictor(FakePredictor):
    """A model that does not attend."""

    def captions(
        self, images: Sequence[Image.Image], options: DecodingOptions, *, activations: bool = False
    ) -> list[list[Caption]]:
        found = super().captions(images, options, activations=activations)
        return [[replace(caption, attention=None) for caption in captions] for captions in found]

    def scores(
        self, images: Sequence[Image.Image], texts: Sequence[str], *, activations: bool = False
    ) -> list[Caption]:
        found = super().scores(images, texts, activations=activations)
        return [replace(caption, attention=None) for caption in found]


class SurePredictor(FakePredictor):
    """A model that is calibrated."""

    def __init__(self, confidence: float, needs_review: bool) -> None:
        self.confidence = confidence
        self.needs_review = needs_review

    def captions(
        self, images: Sequence[Image.Image], options: DecodingOptions, *, activations: bool = False
    ) -> list[list[Caption]]:
        found = super().captions(images, options, activations=activations)
        return [[self._sure(caption) for caption in captions] for captions in found]

    def scores(
        self, images: Sequence[Image.Image], texts: Sequence[str], *, activations: bool = False
    ) -> list[Caption]:
        return [self._sure(caption) for caption in super().scores(images, texts, activations=activations)]

    def _sure(self, caption: Caption) -> Caption:
        words = tuple(
            replace(word, confidence=1 / (2 * place) if word.known else None)
            for place, word in enumerate(caption.words, start=1)
        )
        if not all(word.known for word in words):
            return replace(caption, words=words)
        return replace(caption, words=words, confidence=self.confidence, needs_review=self.needs_review)


class Recorder(FakePredictor):
    """A model that notes the options and the threads with which it is called."""

    def __init__(self) -> None:
        self.options: list[DecodingOptions] = []
        self.threads: set[int] = set()

    def captions(
        self, images: Sequence[Image.Image], options: DecodingOptions, *, activations: bool = False
    ) -> list[list[Caption]]:
        self.options.append(options)
        self.threads.add(threading.get_ident())
        return super().captions(images, options, activations=activations)

    def scores(
        self, images: Sequence[Image.Image], texts: Sequence[str], *, activations: bool = False
    ) -> list[Caption]:
        self.threads.add(threading.get_ident())
        return super().scores(images, texts, activations=activations)
