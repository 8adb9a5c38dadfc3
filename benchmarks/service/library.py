"""What the library does by itself, to compare the service with: functions for a process of its own."""

import statistics
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from captioner.loading import RuntimeName
from captioner.malloc import keep_freed_memory
from captioner.predictor import CaptionPredictor
from service.inference.worker import batch_sizes
from service.settings import DEFAULT_SETTINGS

BATCH = DEFAULT_SETTINGS.max_batch


class Choice(NamedTuple):
    """Which model, and how it is computed; see ``CaptionPredictor.from_checkpoint``."""

    checkpoint: Path | None = None
    runtime: RuntimeName = "auto"
    threads: int | None = None


@cache
def predictor(choice: Choice) -> CaptionPredictor:
    """Return the model, loaded once in this process."""
    keep_freed_memory()
    return CaptionPredictor.from_checkpoint(choice.checkpoint, runtime=choice.runtime, threads=choice.threads)


def reference(photos: Sequence[bytes], choice: Choice) -> list[list[tuple[str, float]]]:
    """Return of each photo the captions that it gets in batches of the sizes that the service uses.

    They are nearly always the same; the last digits of their log-probabilities depend on the size.
    """
    model = predictor(choice)
    return [_expected(model, [model.read(data).image]) for data in photos]


def _expected(model: Any, picture: list[Any]) -> list[tuple[str, float]]:
    found = [model.captions(picture * size)[0][0] for size in batch_sizes(BATCH)]
    return [(caption.text, caption.log_prob) for caption in found]


def single_ms(photo: bytes, choice: Choice) -> float:
    """Return how many milliseconds the caption of one photo takes, from its bytes."""
    start = time.perf_counter()
    predictor(choice).caption(photo)
    return 1000 * (time.perf_counter() - start)


def batched(photos: Sequence[bytes], choice: Choice, seconds: float) -> float:
    """Return how many photos per second are captioned in full batches, from their bytes."""
    model = predictor(choice)
    batches = [(list(photos) * BATCH)[start : start + BATCH] for start in range(0, len(photos), BATCH)]
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 2:
        start = time.perf_counter()
        model.captions([model.read(data).image for data in batches[len(times) % len(batches)]])
        times.append(time.perf_counter() - start)
    return BATCH / statistics.mean(times)
