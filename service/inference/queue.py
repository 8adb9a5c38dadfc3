"""The queue of photos before the model: who goes next, together with whom, and when."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from service.errors import DeadlinePassedError, DrainingError
from service.inference.jobs import Job
from service.observability.observer import Observer

Call = Callable[[], None]


class JobQueue:
    """Photos in the order in which they came. Many threads put, one takes.

    The first in the queue goes next, and with it, in their order, all others of the same task for the same model. When
    they do not fill a batch, they wait a little for more, but only in a crowd: someone who is alone never waits.

    Args:
        max_batch: Most photos that go together.
        max_wait: How many seconds a batch waits for more photos, at most.
        in_flight: Tells how many photos are on their way, those that do not wait in the queue yet included.
        observer: Hears how many wait, and who waited too long.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        max_batch: int,
        max_wait: float,
        in_flight: Callable[[], int],
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._in_flight = in_flight
        self._observer = observer
        self._clock = clock
        self._waiting: deque[Job] = deque()
        self._calls: deque[Call] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._last_size = 0

    def put(self, job: Job) -> None:
        """Let a photo wait for its turn.

        Raises:
            DrainingError: If the queue is closed.
        """
        with self._changed:
            self._check_open()
            self._waiting.append(job)
            self._notify()

    def put_call(self, call: Call) -> None:
        """Let something be done as soon as the batch that runs now is over, before any other.

        Raises:
            DrainingError: If the queue is closed.
        """
        with self._changed:
            self._check_open()
            self._calls.append(call)
            self._changed.notify()

    def take(self) -> list[Job] | Call | None:
        """Wait for what is to be done next: a batch, a call, or None if the queue is closed and empty."""
        with self._changed:
            free_since = self._clock()
            while True:
                if self._calls:
                    return self._calls.popleft()
                now = self._clock()
                batch = self.next_batch(now)
                if not batch and self._closed:
                    return None
                pause = self.pause(batch, free_since, now) if batch else None
                if pause is not None and pause <= 0:
                    return self._remove(batch)
                self._changed.wait(pause)

    def close(self) -> None:
        """Take no more photos; those that wait are still given out, and then None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def next_batch(self, now: float) -> list[Job]:
        """Return who goes next, after those who gave up or waited too long have left the queue."""
        self._drop_expired(now)
        if not self._waiting:
            return []
        first = self._waiting[0]
        return list(islice((job for job in self._waiting if job.goes_with(first)), self._max_batch))

    def pause(self, batch: Sequence[Job], free_since: float, now: float) -> float:
        """Return how long a batch shall wait for more photos; no longer at all if not above 0."""
        crowded = self._last_size > 1 or max(len(self._waiting), self._in_flight()) > len(batch)
        if len(batch) == self._max_batch or self._closed or not crowded:
            return 0
        return max(batch[0].submitted, free_since) + self._max_wait - now

    def _remove(self, batch: list[Job]) -> list[Job]:
        for job in batch:
            self._waiting.remove(job)
        self._last_size = len(batch)
        self._notify()
        return batch

    def _drop_expired(self, now: float) -> None:
        """Let those leave the queue whose answer nobody waits for any more."""
        late = [job for job in self._waiting if job.deadline <= now or job.answer.cancelled()]
        for job in late:
            self._waiting.remove(job)
            if job.answer.set_running_or_notify_cancel():  # else whoever cancelled it has said so
                self._observer.rejected("deadline")
                job.answer.set_exception(DeadlinePassedError.after(now - job.submitted))
        if late:
            self._notify()

    def _notify(self) -> None:
        self._observer.queued(len(self._waiting))
        self._changed.notify()

    def _check_open(self) -> None:
        if self._closed:
            raise DrainingError("the service is about to stop and takes no more requests")
