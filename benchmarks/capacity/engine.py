"""The service's own admission, queue, batches and thread under load, with a model that sleeps for as long as one works.

So the simulation is held to the code that it simulates, on a machine whose cores may be busy.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from benchmarks.capacity.simulation import ANSWERED, GIVEN_UP, REFUSED, Request
from captioner.decoding import DecodingOptions
from captioner.types import Caption
from service.errors import BusyError, DeadlinePassedError
from service.inference.engine import Engine
from service.inference.jobs import Captioning, Job, Model, Photo
from service.inference.predictor import Predictor
from service.settings import Settings

THREADS = 256  # requests on their way at once, at most


@dataclass(frozen=True)
class SleeperInfo:
    """What the sleeper is called."""

    name: str = "sleeper"
    version: str = "1"
    sha256: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class Sleeper(Predictor):
    """A model that takes its time and finds no words.

    Args:
        seconds: How long a batch takes, by its size.
    """

    info = SleeperInfo()

    def __init__(self, seconds: Callable[[int], float]) -> None:
        self._seconds = seconds
        self.late = 0.0  # seconds that it slept longer than it should, of all batches
        self.batches = 0

    def captions(
        self,
        images: Sequence[Image.Image],
        options: DecodingOptions,  # noqa: ARG002
        *,
        activations: bool = False,  # noqa: ARG002
    ) -> list[list[Caption]]:
        """Sleep, and return an empty caption of each photo."""
        begun, wanted = time.monotonic(), self._seconds(len(images))
        time.sleep(wanted)
        self.late += time.monotonic() - begun - wanted
        self.batches += 1
        return [[Caption("", (), 0.0, None, finished=True)] for _ in images]

    def scores(self, images: Sequence[Image.Image], texts: Sequence[str], *, activations: bool = False) -> Any:
        """Score nothing."""
        raise NotImplementedError


def real_load(sleeper: Sleeper, settings: Settings, arrivals: Sequence[float]) -> list[Request]:
    """Return what becomes of requests that come at given times, in seconds from now on.

    Args:
        sleeper: The model.
        settings: Of the service.
        arrivals: When.
    """
    engine, picture, task = Engine(settings), Image.new("RGB", (8, 8)), Captioning(DecodingOptions())
    engine.use(Model(sleeper))
    begun = time.monotonic()

    def ask(request: Request) -> Request:
        try:
            with engine.admit() as deadline:
                job = Job(engine.model, picture, Photo(*picture.size, None), task, deadline)
                engine.submit(job)
                request.submitted = job.submitted - begun
                engine.wait(job)
            request.fate = ANSWERED
        except BusyError:
            request.fate = REFUSED
        except DeadlinePassedError:
            request.fate = GIVEN_UP
        request.ended = time.monotonic() - begun
        return request

    with ThreadPoolExecutor(THREADS) as threads:
        asked = []
        for when in arrivals:
            time.sleep(max(begun + when - time.monotonic(), 0))
            asked.append(threads.submit(ask, Request(time.monotonic() - begun, 1)))
        found = [one.result() for one in asked]
    engine.drain(1)
    return found
