"""How many requests compute in Python at the same time."""

import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from captioner.cpus import available_cpus

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
