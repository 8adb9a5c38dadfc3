"""Everything between a request and the model: a place, a decoded photo, a batch, and an answer in time."""

import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from PIL.Image import Image

from captioner.images import DEFAULT_LIMITS, ImageLimits, read_image
from service.concurrency import pausing
from service.errors import BusyError, DeadlinePassedError, DrainingError, NotReadyError, StuckError, TemporaryError
from service.inference.admission import Admission
from service.inference.jobs import Job, Model, Photo, Result, Task
from service.inference.queue import JobQueue
from service.inference.worker import InferenceThread
from service.observability.observer import Observer, Reason
from service.observability.tracing import span
from service.settings import Settings

T = TypeVar("T")
LOADING_RETRY_SECONDS = 5
DRAWN_TOGETHER = 2  # pictures; each takes memory
LAST_BATCH_SECONDS = 5  # how long the thread may take to end once nobody waits for an answer
REASONS: dict[type[TemporaryError], Reason] = {
    BusyError: "queue_full",
    DrainingError: "draining",
    NotReadyError: "not_ready",
}


class Engine:
    """The way of all requests through the model.

    Photos are decoded in a few threads of their own, since each takes much memory meanwhile.

    Args:
        settings: How many may wait, how long, and how they are put together.
        observer: Hears what happens to requests.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, settings: Settings, observer: Observer | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self.observer = observer or Observer()
        self._clock = clock
        self._model: Model | None = None
        self._admission = admission = Admission(settings.max_waiting)
        max_wait = settings.max_wait_ms / 1000
        self._queue = JobQueue(settings.max_batch, max_wait, lambda: admission.taken, self.observer, clock)
        self._thread = InferenceThread(self._queue, settings.max_batch, admission.learn, self.observer, clock)
        self._decoders = ThreadPoolExecutor(settings.max_decoding, thread_name_prefix="decoding")
        self._painters = ThreadPoolExecutor(DRAWN_TOGETHER, thread_name_prefix="drawing")
        weakref.finalize(self, self._queue.close)  # which ends the thread of an engine that nobody uses any more

    @property
    def model(self) -> Model:
        """The model that looks at photos from now on.

        Raises:
            NotReadyError: If none is loaded yet.
        """
        if self._model is None:
            raise NotReadyError("the model is being loaded; try again in a moment", LOADING_RETRY_SECONDS)
        return self._model

    def use(self, model: Model) -> None:
        """Let a model look at photos from now on; what waits for the one before is still answered by that one."""
        is_first = self._model is None
        self._model = model
        self.observer.model(model.name, model.version, model.sha256)
        if is_first and not self._admission.is_closed:
            self.observer.ready(True)

    def choose_model(self) -> Model:
        """Return the model for a request, which keeps to it to its end; one that comes before any is told to observers.

        Raises:
            NotReadyError: If none is loaded yet.
        """
        try:
            return self.model
        except NotReadyError:
            self.observer.rejected(REASONS[NotReadyError])
            raise

    @contextmanager
    def admit(self, photos: int = 1) -> Iterator[float]:
        """Hold a place for each photo, taken before it is decoded, since that costs memory; gives the deadline.

        Raises:
            BusyError: If there are not enough.
            NotReadyError: If there is no model yet.
            DrainingError: If the service is about to stop.
        """
        with ExitStack() as held:
            try:
                held.enter_context(self._admission.admit(photos))
                self.model  # noqa: B018 - raises if there is none
            except TemporaryError as error:
                self.observer.rejected(REASONS[type(error)])
                raise
            yield self._clock() + self._settings.deadline_seconds

    def decode(
        self,
        data: bytes,
        task: Task,
        limits: ImageLimits = DEFAULT_LIMITS,
        *,
        deadline: float,
        model: Model | None = None,
    ) -> Job:
        """Decode an upload; return the job of the photo as the model looks at it.

        Args:
            data: The bytes of its file.
            task: What the model shall do.
            limits: What the photo may be.
            deadline: When its result is no longer wanted.
            model: Who shall look at it; if left out, the model that answers now.

        Raises:
            ImageError: If the bytes are no usable image; see :func:`captioner.images.decode_photo`.
            DeadlinePassedError: If others were decoded until it was too late.
        """
        chosen = model or self.model

        def decode() -> Job:
            start = time.perf_counter()
            read = chosen.read(data, limits)
            job = Job(chosen, read.image, Photo(read.width, read.height, read.format), task, deadline)
            job.decode_seconds = time.perf_counter() - start
            return job

        with span("decode"):
            job = self._result(self._decoders.submit(decode), deadline)
        self.observer.decoded(job.decode_seconds)
        return job

    def prepare(self, read: Callable[[], T], *, deadline: float) -> T:
        """Read an upload where photos are decoded, in some other way than :meth:`decode`; it raises what that does."""
        with span("decode"):
            return self._result(self._decoders.submit(read), deadline)

    def shrink(
        self, data: bytes, fit: Callable[[Image], Image], limits: ImageLimits = DEFAULT_LIMITS, *, deadline: float
    ) -> Image:
        """Decode an upload and return the upright image made small, so that none in full waits for anything.

        It raises what :meth:`decode` does.
        """
        return self.prepare(lambda: fit(read_image(data, limits)), deadline=deadline)

    def draw(self, paint: Callable[[], T], *, deadline: float) -> T:
        """Draw something, in one of a few threads of their own, so that neither decoding nor any request waits for it.

        Raises:
            DeadlinePassedError: If it took too long.
        """
        with span("draw"):
            return self._result(self._painters.submit(paint), deadline)

    def submit(self, job: Job) -> None:
        """Let a photo wait for the model.

        Raises:
            DrainingError: If the service has stopped.
        """
        job.submitted = self._clock()
        self._queue.put(job)

    def wait(self, job: Job) -> Result:
        """Wait for what the model says of a photo.

        Raises:
            DeadlinePassedError: If it took too long.
            OptionError: If the model cannot do what is asked.
        """
        with span("inference"):
            return self._result(job.answer, job.deadline)

    def cancel(self, job: Job) -> None:
        """Give a photo up, whose answer is not wanted any more."""
        if job.answer.cancel():
            self.observer.rejected("cancelled")

    def call(self, work: Callable[[], T]) -> T:
        """Do something in the thread of the model, between two batches, and wait for it.

        Raises:
            DrainingError: If the service has stopped.
        """
        done: Future[T] = Future()

        def call() -> None:
            try:
                done.set_result(work())
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                done.set_exception(error)

        self._queue.put_call(call)
        return done.result()

    @property
    def is_over(self) -> bool:
        """Whether the thread of the model has ended."""
        return not self._thread.is_alive

    def check_alive(self) -> None:
        """Look after the thread of the model.

        Raises:
            StuckError: If it has died, or has been at the same batch for too long.
        """
        if not self._thread.is_alive and not self._admission.is_closed:
            raise StuckError("the thread that runs the model has ended; restart the service")
        busy, most = self._thread.busy_seconds(), self._settings.stuck_seconds
        if busy > most:
            raise StuckError(f"the model has been at one batch for {busy:.0f} seconds; at most {most} are expected")

    @property
    def is_ready(self) -> bool:
        """Whether a model answers requests."""
        try:
            self.check_ready()
        except (TemporaryError, StuckError):
            return False
        return True

    def check_ready(self) -> Model:
        """Return the model that answers requests.

        Raises:
            TemporaryError: If none does: there is no model yet, or the service is about to stop.
            StuckError: If the thread of the model has died or is stuck.
        """
        self._admission.check_open()
        self.check_alive()
        return self.model

    def drain(self, seconds: float) -> bool:
        """Accept nothing more and finish all that is accepted, for so long at most; return whether that was done."""
        self._admission.close()
        self.observer.ready(False)
        is_empty = self._admission.wait_until_empty(seconds)
        self._queue.close()
        return is_empty and self._thread.join(LAST_BATCH_SECONDS)

    def _result(self, answer: "Future[T]", deadline: float) -> T:
        try:
            with pausing():
                return answer.result(max(deadline - self._clock(), 0))
        except TimeoutError:
            if answer.done():
                return answer.result()
            if answer.cancel():
                self.observer.rejected("deadline")
            raise DeadlinePassedError.after(self._settings.deadline_seconds) from None
