"""What the library does by itself, to compare the service with."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from captioner.images import read_image
from captioner.memory import keep_freed_memory
from captioner.predictor import CaptionPredictor

BATCH = 8
SIZES = (1, 2, 3, 4, 6, 8)  # of the service's batches


@dataclass(frozen=True)
class Library:
    """What the library does alone.

    Attributes:
        captions: Of each photo the captions that it gets in batches of the sizes that the service uses, with their
            log-probabilities; nearly always the same.
        single_ms: The median time of one photo by itself.
        batched: Photos per second in batches, decoding included.
        inference: Photos per second in batches, of photos that are decoded and squashed already.
    """

    captions: list[list[tuple[str, float]]]
    single_ms: float
    batched: float
    inference: float


def measure_library(photos: Sequence[bytes], threads: int | None, seconds: float) -> Library:
    """Measure the library in this process."""
    keep_freed_memory()
    predictor = CaptionPredictor.from_checkpoint(threads=threads)
    batches = [(list(photos) * BATCH)[start : start + BATCH] for start in range(0, len(photos), BATCH)]
    ready = [[predictor.prepare(read_image(data)) for data in batch] for batch in batches]
    predictor.captions(ready[0])
    captions = [expected(predictor, [predictor.prepare(read_image(data))]) for data in photos]
    single = per_second([lambda data=data: predictor.caption(data) for data in photos], seconds)
    batched = per_second(
        [lambda batch=batch: predictor.captions([read_image(data) for data in batch]) for batch in batches], seconds
    )
    inference = per_second([lambda batch=batch: predictor.captions(batch) for batch in ready], seconds)
    return Library(captions, 1000 / single, BATCH * batched, BATCH * inference)


def expected(predictor: Any, picture: list[Any]) -> list[tuple[str, float]]:
    """Return what a photo's caption may be, since the last digits depend on how many photos are captioned together."""
    found = [predictor.captions(picture * size)[0][0] for size in SIZES]
    return [(caption.text, caption.log_prob) for caption in found]


def per_second(calls: Sequence[Callable[[], object]], seconds: float) -> float:
    """Return how many calls there are in a second, by the median of their times, taking turns for so long."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        calls[len(times) % len(calls)]()
        times.append(time.perf_counter() - start)
    return 1 / statistics.median(times)
