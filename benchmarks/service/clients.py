"""Clients of the service, as many threads as there are clients; to be run in a process of their own."""

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from benchmarks.service.interfaces import INTERFACES, Interface

WARM_UP_SECONDS = 0.2  # part of the time that is not counted: of each client's first answers
TIMEOUT = 120


@dataclass
class Load:
    """What clients saw.

    Attributes:
        clients: How many asked at the same time.
        seconds: For how long.
        rate: Captions per second: of each client the captions that it got, by the time from when it asked for the first
            of them until it had the last. (Answers come in batches, so that those within a fixed time would be some
            batches, whole ones, too few.)
        captions: The number of a photo, the caption that was answered, and its log-probability, for each answer; not a
            number where the interface tells none.
        milliseconds: How long each of those answers took.
        refused: How many were answered 503.
        failures: How many were not answered, or otherwise.
    """

    clients: int
    seconds: float = 0
    rate: float = 0
    captions: list[tuple[int, str, float]] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0
    failures: int = 0

    def ask(self, connection: http.client.HTTPConnection, photo: int, data: bytes, interface: Interface) -> None:
        """Have a photo captioned, whose request is encoded already, and write down the answer."""
        start = time.perf_counter()
        try:
            connection.request("POST", interface.path, data, {"Content-Type": interface.kind})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self.failures += 1
            return
        took = time.perf_counter() - start
        if response.status == 200:
            self.captions.append((photo, *interface.decode(body)))
            self.milliseconds.append(1000 * took)
        elif response.status == 503 and response.headers["Retry-After"]:
            self.refused += 1
        else:
            self.failures += 1


def closed_loop(
    netloc: str, photos: Sequence[bytes], clients: int, seconds: float, interface: str = "captions"
) -> Load:
    """Let clients ask again as soon as they are answered, for so long after a little warming up."""
    asked, bodies = _encoded(photos, interface)
    begin = time.perf_counter() + WARM_UP_SECONDS * seconds
    end = begin + seconds

    def client(number: int) -> Load:
        seen, warming = Load(1), Load(1)
        connection = http.client.HTTPConnection(netloc, timeout=TIMEOUT)
        photo, first = number, end
        while (now := time.perf_counter()) < end:
            photo = (photo + 1) % len(photos)
            first = first if now < begin else min(first, now)
            load = warming if now < begin else seen
            load.ask(connection, photo, bodies[photo], asked)
        seen.rate = len(seen.captions) / (now - first) if seen.captions else 0.0
        connection.close()
        return seen

    with ThreadPoolExecutor(clients) as threads:
        parts = list(threads.map(client, range(clients)))
    return _sum(parts, clients, seconds)


def alternate(
    netloc: str, photos: Sequence[bytes], library: Callable[[bytes], float], times: int, interface: str = "captions"
) -> list[float]:
    """Ask for one caption at a time, and have the library caption the same photo by itself right before.

    Returns:
        By how many milliseconds the service took longer, each time.
    """
    connection, seen = http.client.HTTPConnection(netloc, timeout=TIMEOUT), Load(1)
    asked, bodies = _encoded(photos, interface)
    alone = []
    for number in range(times):
        photo = number % len(photos)
        alone.append(library(photos[photo]))
        seen.ask(connection, photo, bodies[photo], asked)
    connection.close()
    return [service - by_itself for service, by_itself in zip(seen.milliseconds, alone, strict=True)]


def burst(netloc: str, photos: Sequence[bytes], clients: int, interface: str = "captions") -> Load:
    """Let clients ask once, all at the same time."""
    asked, bodies = _encoded(photos, interface)
    together = threading.Barrier(clients)

    def client(number: int) -> Load:
        seen = Load(1)
        connection = http.client.HTTPConnection(netloc, timeout=TIMEOUT)
        connection.connect()
        together.wait(TIMEOUT)
        seen.ask(connection, number % len(photos), bodies[number % len(photos)], asked)
        connection.close()
        return seen

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        parts = list(threads.map(client, range(clients)))
    return _sum(parts, clients, time.perf_counter() - start)


def watch(netloc: str, begun: Any, over: Any) -> list[float]:
    """Ask whether the server lives, again and again, until an event is set; return how many milliseconds each took."""
    times = []
    begun.set()
    while not over.is_set():
        start = time.perf_counter()
        connection = http.client.HTTPConnection(netloc, timeout=TIMEOUT)
        connection.request("GET", "/livez")
        answered = connection.getresponse().read()
        connection.close()
        if answered:
            times.append(1000 * (time.perf_counter() - start))
        over.wait(0.01)
    return times


def _encoded(photos: Sequence[bytes], interface: str) -> tuple[Interface, list[bytes]]:
    """Return an interface and the requests about photos, made beforehand: the time for it is the clients'."""
    asked = INTERFACES[interface]
    return asked, [asked.encode(photo) for photo in photos]


def _sum(parts: Sequence[Load], clients: int, seconds: float) -> Load:
    return Load(
        clients,
        seconds,
        sum(part.rate for part in parts),
        [answer for part in parts for answer in part.captions],
        [time for part in parts for time in part.milliseconds],
        sum(part.refused for part in parts),
        sum(part.failures for part in parts),
    )
