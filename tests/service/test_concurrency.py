"""How many requests compute at the same time."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.concurrency import ConcurrencyLimit, pausing

SECONDS = 30  # that something may take which takes no time if all is well


class Gauge:
    """Counts who is inside, and remembers the most at a time."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self.inside -= 1


def ask(limit: ConcurrencyLimit, path: str = "/v1/captions") -> Iterable[bytes]:
    return limit({"PATH_INFO": path}, None)


def at_once(calls: int, call: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(calls) as threads:
        return [one.result(SECONDS) for one in [threads.submit(call) for _ in range(calls)]]


def test_only_a_few_compute_and_many_may_wait() -> None:
    computing, waiting = Gauge(), Gauge()
    everybody = threading.Barrier(20)

    def application(*_: object) -> list[bytes]:
        with computing:
            pass
        with pausing(), waiting:
            everybody.wait(SECONDS)  # which only all twenty together can leave
        with computing:
            return [b"done"]

    limit = ConcurrencyLimit(application, number=2)
    assert at_once(20, lambda: ask(limit)) == [[b"done"]] * 20
    assert computing.most <= 2
    assert waiting.most == 20


def test_the_urgent_need_no_turn() -> None:
    arrived, free = threading.Event(), threading.Event()

    def application(environ: dict[str, str], _: object) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            arrived.set()
            assert free.wait(SECONDS)
        return [environ["PATH_INFO"].encode()]

    limit = ConcurrencyLimit(application, ("/livez",), number=1)
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(ask, limit, "/slow")
        assert arrived.wait(SECONDS)
        other = threads.submit(ask, limit, "/v1/captions")
        assert ask(limit, "/livez") == [b"/livez"]
        assert not other.done()
        free.set()
        assert slow.result(SECONDS) == [b"/slow"]
        assert other.result(SECONDS) == [b"/v1/captions"]


def test_a_turn_ends_however_the_request_does() -> None:
    def application(*_: object) -> list[bytes]:
        with pausing():
            raise ZeroDivisionError

    limit = ConcurrencyLimit(application, number=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            ask(limit)


def test_who_has_no_turn_gives_none_up() -> None:
    limit = ConcurrencyLimit(lambda *_: [b""], number=1)
    for _ in range(3):
        with pausing():
            pass
    with ThreadPoolExecutor(1) as threads:
        limit.acquire()
        other = threads.submit(ask, limit)
        with pytest.raises(TimeoutError):
            other.result(0.1)
        limit.release()
        assert other.result(SECONDS) == [b""]
