"""The one thread in which the model runs, a batch at a time.

OpenMP gives each thread that calls it a pool of its own, so that several would fight for the same cores.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from service.inference.jobs import Job, Said
from service.inference.queue import JobQueue
from service.observability.observer import Observer

logger = logging.getLogger(__name__)


class WrongCountError(Exception):
    """A model that did not return one answer per photo, so that nobody knows whose they are."""


def batch_sizes(most: int) -> list[int]:
    """Return the sizes in which batches run: 1, 2, 3, 4, 6, 8, 12 and so on, up to ``most``.

    Each size that a network meets leaves something in the caches of its library (oneDNN compiles its loops for it), so
    that there should be few. With these a batch grows by at most half, and from two photos up by at most a third.
    """
    powers = [2**exponent for exponent in range(most.bit_length())]
    return sorted({size for size in [*powers, *(3 * power for power in powers), most] if size <= most})


class InferenceThread:
    """A thread that takes from a queue what waits there, and answers it.

    When a batch fails, its photos are tried one by one, so that one that the model cannot bear hurts only itself.

    Args:
        queue: Where the photos wait; closing it ends the thread.
        max_batch: Most photos of a batch.
        learn: Told of the size of each batch and how many seconds it took.
        observer: Hears of each batch.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        queue: JobQueue,
        max_batch: int,
        learn: Callable[[int, float], None],
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._sizes = batch_sizes(max_batch)
        self._learn = learn
        self._observer = observer
        self._clock = clock
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def busy_seconds(self) -> float:
        """Return how long the thread has been at what it does now; 0 if it waits for work."""
        since = self._busy_since
        return 0.0 if since is None else self._clock() - since

    def join(self, seconds: float) -> bool:
        """Wait for the end of the thread, for so long at most; return whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while self._next():
            pass

    def _next(self) -> bool:
        """Do what comes next; apart from the loop, so that nothing of the last batch is kept while there is none."""
        taken = self._queue.take()
        if taken is None:
            return False
        self._busy_since = self._clock()
        if callable(taken):
            taken()
        else:
            self._run([job for job in taken if job.answer.set_running_or_notify_cancel()])
        self._busy_since = None
        return True

    def _run(self, jobs: Sequence[Job]) -> None:
        """Answer photos that go together."""
        if not jobs:
            return
        start = self._clock()
        try:
            answers = self._ask(jobs)
        except Exception as error:  # noqa: BLE001 - whatever the model raises belongs to who asked, not to this thread
            self._fail(jobs, error)
            return
        seconds = self._clock() - start
        waited = [start - job.submitted for job in jobs]
        self._learn(len(jobs), seconds)
        self._observer.batch(len(jobs), waited, seconds)
        for job, said in zip(jobs, answers, strict=True):
            job.answer.set_result(job.result(said, seconds))

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        if len(jobs) > 1 and not isinstance(error, WrongCountError):
            logger.warning("a batch of %d photos failed; they are tried one by one: %r", len(jobs), error)
            for job in jobs:
                self._run([job])
            return
        for job in jobs:
            job.answer.set_exception(error)

    def _ask(self, jobs: Sequence[Job]) -> Sequence[Sequence[Said]]:
        """Show the model the photos, the last one repeated up to the next size if new sizes cost it something."""
        sizes = self._sizes if jobs[0].model.predictor.compiles_sizes else [len(jobs)]
        size = next(size for size in sizes if size >= len(jobs))
        padded = [*jobs, *[jobs[-1]] * (size - len(jobs))]
        pictures, tasks = [job.picture for job in padded], [job.task for job in padded]
        answers = jobs[0].task.run(jobs[0].model.predictor, pictures, tasks)
        if len(answers) != size:
            raise WrongCountError(f"the model returned {len(answers)} answers to {size} photos")
        return answers[: len(jobs)]
