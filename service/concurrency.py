"""How many requests compute in Python at the same time, and how long they wait for what cannot be interrupted."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from captioner.cpus import available_cpus

T = TypeVar("T")
Environ = dict[str, Any]

_held = threading.local()  # .limit: what gave the thread its turn, while it has one


class ConcurrencyLimit:
    """A WSGI application whose requests take turns: a few compute, the others wait.

    Threads that compute in Python share one lock among them, and hand it on in no particular order. With a hundred of
    them at it, each step of a health check would wait for the other ninety-nine; so few may be. Whoever waits for
    something else gives up the turn meanwhile: see :func:`pausing`.

    Args:
        application: What answers.
        urgent: Paths whose requests need no turn.
        number: How many requests may have theirs; if left out, one per CPU that the process may use, but at least 4.
    """

    def __init__(self, application: Any, urgent: Collection[str] = (), number: int | None = None) -> None:
        self._application = application
        self._urgent = frozenset(urgent)
        self._free = threading.Semaphore(number or max(4, available_cpus()))

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer a request once it is its turn."""
        if environ.get("PATH_INFO") in self._urgent:
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer
        self.acquire()
        try:
            answer = self._application(environ, start_response)
        finally:
            self.release()
        return answer

    def acquire(self) -> None:
        """Wait until it is the turn of this thread."""
        self._free.acquire()
        _held.limit = self

    def release(self) -> None:
        """Let another thread have its turn."""
        _held.limit = None
        self._free.release()


@contextmanager
def pausing() -> Iterator[None]:
    """Give up the turn, if this thread has one, for as long as it waits for something else."""
    limit: ConcurrencyLimit | None = getattr(_held, "limit", None)
    if limit is None:
        yield
        return
    limit.release()
    try:
        yield
    finally:
        limit.acquire()


class Slots:
    """A number of things that may go on at the same time.

    Args:
        number: How many.
    """

    def __init__(self, number: int) -> None:
        self._free = threading.BoundedSemaphore(number)

    def acquire(self, seconds: float = 0) -> bool:
        """Take a slot, if one becomes free within some seconds; return whether it did."""
        return self._free.acquire(timeout=seconds)

    def release(self) -> None:
        """Let another have the slot."""
        self._free.release()

    def call(self, function: Callable[[], T], name: str) -> "Future[T]":
        """Call what cannot be told to stop in a thread of its own, and release the slot, taken before, at its end."""
        answer: Future[T] = Future()

        def work() -> None:
            try:
                answer.set_result(function())
            except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
                answer.set_exception(error)
            finally:
                self.release()

        threading.Thread(target=work, name=name, daemon=True).start()
        return answer


class Alarm:
    """A context in which something is done, in another thread, once the time is over.

    Args:
        seconds: How much time there is.
        ring: What is done.
    """

    def __init__(self, seconds: float, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._rang = threading.Event()
        self._timer = threading.Timer(max(0.0, seconds), self._sound)
        self._timer.daemon = True

    @property
    def rang(self) -> bool:
        """Whether the time is over."""
        return self._rang.is_set()

    def __enter__(self) -> "Alarm":
        """Start the clock."""
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop it."""
        self._timer.cancel()

    def _sound(self) -> None:
        self._rang.set()
        self._ring()
