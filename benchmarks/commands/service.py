"""Load the service with clients, beside the library alone.

Starts the real server on a free port of this machine, and asks it for captions in a closed loop: each client asks
again as soon as it is answered. The clients are threads of another process, so that they take none of the server's
Python time; they share its cores. The library is measured in a third process on the same photos, bytes in, captions
out, in batches as large as the service's: in turn with the service, one of them idle while the other works. Then a
burst of far more requests than may wait, while another process asks whether the server lives. Every answer is
compared with the library's caption of the same photo; one that is wrong or lost makes the exit status 1.
"""

import multiprocessing
import statistics
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.models import add_model_arguments
from benchmarks.photos import read_photos
from benchmarks.report import add_json_argument, introduce, publish
from benchmarks.service.clients import Load, alternate, burst, closed_loop, watch
from benchmarks.service.interfaces import INTERFACES
from benchmarks.service.library import Choice, batched, reference, single_ms
from benchmarks.service.program import model_flags, serving
from benchmarks.timing import percentile

EPILOG = __doc__
TOLERANCE = 0.01  # of log-probabilities: those of different photos differ by far more
CLIENTS = (1, 2, 4, 8, 16, 32)
SPARE_THREADS = 16  # of the server, beyond one for each photo that may wait
WATCH_SECONDS = 30  # that the process which watches may take to begin
ROUNDS = 4  # of library and service, one after the other
Expected = list[list[tuple[str, float]]]
TITLES = {
    "clients": "clients",
    "photos_per_second": "photos/s",
    "library": "library, photos/s",
    "ratio": "ratio",
    "p50_ms": "median ms",
    "p95_ms": "95% below, ms",
    "p99_ms": "99% below, ms",
    "wrong": "wrong",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="JPEG files; default: photos made up")
    parser.add_argument("--count", type=int, default=64, help="different photos (default: %(default)s)")
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS), help="(default: 1 to 32)")
    parser.add_argument(
        "--interface",
        choices=list(INTERFACES),
        default="captions",
        help="as whose client to ask (default: %(default)s)",
    )
    parser.add_argument("--seconds", type=float, default=20, help="how long each row takes (default: %(default)s)")
    parser.add_argument("--places", type=int, default=64, help="how many photos may wait (default: %(default)s)")
    parser.add_argument("--burst", type=int, default=200, help="requests of the burst (default: %(default)s)")
    parser.add_argument(
        "--times", type=int, default=60, help="pairs of one caption each, by library and service (default: %(default)s)"
    )
    parser.add_argument("--log-level", default="warning", help="of the server (default: %(default)s)")
    add_json_argument(parser)


@contextmanager
def a_process() -> Iterator[Callable[..., Any]]:
    """Give a way to call functions in another process, which stays the same."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield lambda call, *arguments: process.submit(call, *arguments).result()


def run(arguments: Namespace) -> int:
    """Run it all, print a table, and return 1 if an answer was wrong or lost."""
    photos = read_photos(arguments.photos, arguments.count)
    choice = Choice(arguments.checkpoint, arguments.runtime, arguments.threads)
    interface = arguments.interface
    introduce(seconds=arguments.seconds, photos=len(photos), interface=interface)
    with serving(flags(arguments)) as server, a_process() as library, a_process() as clients:
        expected = library(reference, photos, choice)
        longer = alternate(
            server.netloc, photos, lambda photo: library(single_ms, photo, choice), arguments.times, interface
        )
        rows = [
            row
            for number in arguments.clients
            for row in measured(number, photos, server.netloc, choice, arguments.seconds, library, clients, interface)
        ]
        many, livez = shot(server.netloc, photos, arguments.burst, clients, interface)
    found = [summed([row for row in rows if row.load.clients == number], expected) for number in arguments.clients]
    lone = {"median_ms": statistics.median(longer), "p90_ms": percentile(longer, 90)}
    fired = {**outcome(many, expected), "slowest_livez_ms": max(livez, default=0.0)}
    publish("service", found, TITLES, arguments.json, overhead=lone, burst=fired)
    print_rest(lone, fired, arguments)
    return int(any(wrong(load, expected) or load.failures for load in [*(row.load for row in rows), many]))


def flags(arguments: Namespace) -> list[str]:
    """Return the flags of the server."""
    places, threads = str(arguments.places), str(arguments.places + SPARE_THREADS)
    chosen = model_flags(arguments.checkpoint, arguments.runtime, arguments.threads)
    return [*chosen, "--max-waiting", places, "--server-threads", threads, "--log-level", arguments.log_level]


@dataclass(frozen=True)
class Row:
    """What clients saw, and what the library did right before them, in photos per second."""

    load: Load
    library: float

    @property
    def rate(self) -> float:
        """Photos per second."""
        return self.load.rate


def measured(
    number: int,
    photos: Sequence[bytes],
    netloc: str,
    choice: Choice,
    seconds: float,
    library: Any,
    clients: Any,
    interface: str,
) -> Iterator[Row]:
    """Measure library and service in turn, since the speed of a machine that others use drifts."""
    part = seconds / ROUNDS
    for _ in range(ROUNDS):
        speed = library(batched, photos, choice, part / 2)
        yield Row(clients(closed_loop, netloc, photos, number, part, interface), speed)


def shot(netloc: str, photos: Sequence[bytes], number: int, clients: Any, interface: str) -> tuple[Load, list[float]]:
    """Fire a burst, while another process asks whether the server lives."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(1, context) as watcher:
        begun, over = manager.Event(), manager.Event()
        seen = watcher.submit(watch, netloc, begun, over)
        begun.wait(WATCH_SECONDS)
        load = clients(burst, netloc, photos, number, interface)
        over.set()
        return load, seen.result()


def summed(rows: Sequence[Row], expected: Expected) -> dict[str, Any]:
    """Return what as many clients saw in all rounds."""
    times = [time for row in rows for time in row.load.milliseconds]
    return {
        "clients": rows[0].load.clients,
        "photos_per_second": statistics.median(row.rate for row in rows),
        "library": statistics.median(row.library for row in rows),
        "ratio": statistics.median(row.rate / row.library for row in rows),
        **{f"p{percent}_ms": percentile(times, percent) for percent in (50, 95, 99)},
        "wrong": sum(wrong(row.load, expected) + row.load.failures for row in rows),
    }


def outcome(load: Load, expected: Expected) -> dict[str, Any]:
    """Return what became of a burst."""
    numbers = {name: value for name, value in asdict(load).items() if name in ("clients", "refused", "failures")}
    return {**numbers, "captioned": len(load.captions), "wrong": wrong(load, expected)}


def print_rest(lone: dict[str, float], fired: dict[str, Any], arguments: Namespace) -> None:
    """Print what stands in no table."""
    print(
        f"\nA lone client waits {lone['median_ms']:.1f} ms longer than for the library, "
        f"median of {arguments.times} pairs.\n"
        f"Of a burst of {fired['clients']}, {fired['captioned']} were captioned, {fired['refused']} answered 503, "
        f"{fired['failures']} not answered, {fired['wrong']} wrong; "
        f"the slowest /livez meanwhile took {fired['slowest_livez_ms']:.1f} ms."
    )


def wrong(load: Load, expected: Expected) -> int:
    """Count the answers that are not the library's caption of the photo, with its probability."""
    return sum(
        all(text != other or abs(log_prob - number) > TOLERANCE for other, number in expected[photo])
        for photo, text, log_prob in load.captions
    )
