"""What tests of the engine hold in their hands: a model that waits to be let through, and a clock that stands still."""

import threading
from collections.abc import Sequence

from PIL import Image

from captioner.decoding import DecodingOptions
from captioner.types import Caption
from service.observability.observer import Observer, Reason
from tests.support.fakes import FakePredictor, fake_caption

PATIENCE = 30  # seconds after which a test that hangs gives up


class Gate(FakePredictor):
    """A model that notes the colours of each batch, then waits until it is let through."""

    def __init__(self, is_open: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()
        if is_open:
            self.opened.set()

    def captions(
        self, images: Sequence[Image.Image], options: DecodingOptions, *, activations: bool = False
    ) -> list[list[Caption]]:
        self._pass(images)
        return super().captions(images, options, activations=activations)

    def scores(
        self, images: Sequence[Image.Image], texts: Sequence[str], *, activations: bool = False
    ) -> list[Caption]:
        self._pass(images)
        return [
            fake_caption((*text.split(), str(red(image))), -1.0, activations)
            for image, text in zip(images, texts, strict=True)
        ]

    def wait_until_entered(self) -> None:
        assert self.entered.acquire(timeout=PATIENCE)

    def _pass(self, images: Sequence[Image.Image]) -> None:
        self.batches.append([red(image) for image in images])
        self.entered.release()
        assert self.opened.wait(PATIENCE)


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Listener(Observer):
    """An observer that writes down what it hears."""

    def __init__(self) -> None:
        self.depths: list[int] = []
        self.batches: list[tuple[int, list[float], float]] = []
        self.decodings = 0
        self.reasons: list[Reason] = []
        self.readiness: list[bool] = []
        self.models: list[tuple[str, str, str]] = []
        self.reloads: list[bool] = []
        self.has_queue, self.has_ended = threading.Event(), threading.Event()

    def queued(self, depth: int) -> None:
        self.depths.append(depth)
        self.has_queue.set()

    def batch(self, size: int, waited: Sequence[float], seconds: float) -> None:
        self.batches.append((size, list(waited), seconds))

    def decoded(self, seconds: float) -> None:
        assert seconds >= 0
        self.decodings += 1

    def rejected(self, reason: Reason) -> None:
        self.reasons.append(reason)

    def cache(self, hit: bool) -> None:
        raise AssertionError(f"nothing is kept here, and there is no {hit=}")

    def ready(self, is_ready: bool) -> None:
        self.readiness.append(is_ready)
        if not is_ready:
            self.has_ended.set()

    def model(self, name: str, version: str, sha256: str) -> None:
        self.models.append((name, version, sha256))

    def reloaded(self, succeeded: bool) -> None:
        self.reloads.append(succeeded)


def picture(shade: int) -> Image.Image:
    """Return a picture that can be told from others by its red."""
    return Image.new("RGB", (8, 8), (shade, 80, 40))


def red(image: Image.Image) -> int:
    """Return the red of a picture."""
    return int(image.getpixel((0, 0))[0])  # type: ignore[index]
