"""What tests of the command line need: a predictor that is quick and easy to foresee."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from captioner.decoding import DecodingOptions
from captioner.images import DecodedPhoto, decode_photo
from captioner.predictor import ModelInfo
from captioner.types import Caption, Word

ROOT = Path(__file__).parents[2]
Outcome = tuple[int, list[str], str]  # exit status, lines of the output, what was complained of
Run = Callable[..., Outcome]


class FakePredictor:
    """Calls every picture by its width, with captions that are worse and worse."""

    def __init__(self) -> None:
        self.attention: Any = np.array([[[0.5, 0.25, 0.25]] * 2, [[0, 0, 0], [0, 1, 0]]], np.float32)  # [2, 2, 3]
        self.attends = True
        self.batches: list[int] = []
        self.options: list[DecodingOptions] = []
        self.checkpoint: Path | None = None
        self.place = "cpu (1 thread)"

    def from_checkpoint(self, path: Path | None, device: str) -> "FakePredictor":
        self.checkpoint = path
        self.place = "cpu (1 thread)" if device == "auto" else device
        return self

    def read(self, data: bytes) -> DecodedPhoto:
        return decode_photo(data)

    def captions(
        self, images: Sequence[Image.Image], options: DecodingOptions, *, activations: bool = False
    ) -> list[list[Caption]]:
        self.batches.append(len(images))
        self.options.append(options)
        inside = {"language.0.cell": np.array([[1 / 3], [-2]], np.float32)} if activations else None
        return [[self._caption(image.width, rank, inside) for rank in range(options.num_captions)] for image in images]

    def _caption(self, width: int, rank: int, activations: Any) -> Caption:
        words = (Word("width", -0.5), Word(str(width), -1.0 - rank))
        return Caption(f"width {width}", words, -2.0 - rank, self.attention, finished=True, activations=activations)


class NamedPredictor(FakePredictor):
    """A model with a version, which is unsure of narrow pictures and may say anything."""

    def __init__(self) -> None:
        super().__init__()
        self.info = ModelInfo("fake", "1", "a" * 64)
        self.text = ""

    def captions(
        self, images: Sequence[Image.Image], options: DecodingOptions, *, activations: bool = False
    ) -> list[list[Caption]]:
        found = super().captions(images, options, activations=activations)
        return [
            [self._sure(one, image.width) for one in captions] for image, captions in zip(images, found, strict=True)
        ]

    def _sure(self, caption: Caption, width: int) -> Caption:
        text = self.text or f"v{self.info.version} {caption.text}"
        return replace(caption, text=text, confidence=width / 100, needs_review=width < 15)


NAMED = """
import sys
from captioner.__main__ import main
from captioner.predictor import CaptionPredictor
from tests.support.command_line import NamedPredictor
CaptionPredictor.from_checkpoint = NamedPredictor().from_checkpoint
sys.exit(main(sys.argv[1:]))
"""


def program(*arguments: object) -> "subprocess.Popen[bytes]":
    """Begin the command line in a process of its own, with a :class:`NamedPredictor` as its model."""
    return subprocess.Popen(
        [sys.executable, "-c", NAMED, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
