"""The one thread in which the model runs.

OpenMP gives each thread that calls it a pool of its own, so that several would fight for the same cores.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any, Protocol

from PIL.Image import Image

from captioner.decoding import DecodingOptions
from captioner.types import Caption
from service.errors import BusyError


class ModelInfo(Protocol):
    """What a model is called, and what it is."""

    @property
    def name(self) -> str:
        """The name."""
        ...

    @property
    def version(self) -> str:
        """The version."""
        ...

    @property
    def sha256(self) -> str:
        """The hash of its file in hex; empty if there is no file."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """What else it tells of itself, as JSON values."""
        ...


class Predictor(Protocol):
    """What the service needs of a model."""

    @property
    def info(self) -> ModelInfo:
        """What the model is called."""
        ...

    def captions(
        self, images: Sequence[Image], options: DecodingOptions, *, activations: bool = False
    ) -> list[list[Caption]]:
        """Return the best captions of every image, best first."""
        ...

    def scores(self, images: Sequence[Image], texts: Sequence[str], *, activations: bool = False) -> list[Caption]:
        """Return every text as the caption of its image, with the probabilities that the model gives it."""
        ...


@dataclass(frozen=True)
class Inference:
    """What the model says of one image.

    Attributes:
        captions: The captions, best first; one when a text was scored.
        seconds: How long the model took, without waiting for its turn.
    """

    captions: Sequence[Caption]
    seconds: float


class InferenceThread:
    """One thread through which all requests go, first come first served.

    Args:
        predictor: The model.
        max_waiting: How many requests may hold a place at the same time.
    """

    def __init__(self, predictor: Predictor, max_waiting: int) -> None:
        self._predictor = predictor
        self._max_waiting = max_waiting
        self._places = BoundedSemaphore(max_waiting)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")

    @property
    def info(self) -> ModelInfo:
        """What the model is called that answers now."""
        return self._predictor.info

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue; taken before an image is decoded, since that costs memory.

        Raises:
            BusyError: If all places are taken.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError(f"{self._max_waiting} requests already wait for the model; try again in a moment")
        try:
            yield
        finally:
            self._places.release()

    def captions(self, image: Image, options: DecodingOptions, *, activations: bool = False) -> Inference:
        """Caption an image in the inference thread, and wait for it."""
        return self._run(lambda: self._predictor.captions([image], options, activations=activations)[0])

    def score(self, image: Image, text: str, *, activations: bool = False) -> Inference:
        """Score a text as the caption of an image in the inference thread, and wait for it."""
        return self._run(lambda: self._predictor.scores([image], [text], activations=activations))

    def _run(self, infer: Callable[[], Sequence[Caption]]) -> Inference:
        return self._thread.submit(_time, infer).result()


def _time(infer: Callable[[], Sequence[Caption]]) -> Inference:
    start = time.perf_counter()
    captions = infer()
    return Inference(captions, time.perf_counter() - start)
