"""Stopping a run from outside."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event that the loop looks at between two steps; a second one acts as usual."""
    stop = threading.Event()
    old: dict[int, Any] = {}

    def request(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, old[number])

    for stopping in (signal.SIGINT, signal.SIGTERM):
        old[stopping] = signal.signal(stopping, request)
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
