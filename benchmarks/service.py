"""How fast the service is under load, beside the library alone: ``python benchmarks/service.py [--quick]``.

Starts the real server with the shipped model on a free port of this machine, and asks it for captions in a closed loop:
each client asks again as soon as it is answered. The clients are threads of another process, so that they take none of
the server's Python time; they share its cores. The library is measured in a third process on the same photos, bytes in,
captions out, in batches as large as the service's: in turn with the service, one of them idle while the other works.
Then a burst of far more requests than may wait, while another process asks whether the server lives. Every answer is
compared with the library's caption of the same photo.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.clients import Load, alternate, burst, closed_loop, watch
from benchmarks.library import batched, reference, single_ms
from benchmarks.photos import read_photos
from benchmarks.program import serving

TOLERANCE = 0.01  # of log-probabilities: those of different photos differ by far more
CLIENTS = (1, 8, 32)
WATCH_SECONDS = 30  # that the process which watches may take to begin
ROUNDS = 4  # of library and service, one after the other
Expected = list[list[tuple[str, float]]]
GOALS = {"ratio": 0.85, "overhead_ms": 5.0, "livez_ms": 100.0}


@contextmanager
def a_process() -> Iterator[Callable[..., Any]]:
    """Give a way to call functions in another process, which stays the same."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield lambda call, *arguments: process.submit(call, *arguments).result()


def main() -> int:
    """Run it all, print a table, and return 1 if an answer was wrong or lost."""
    args = parse_arguments()
    photos = read_photos(args.photos, 16 if args.quick else 64)
    flags = [
        "--max-waiting",
        str(args.places),
        "--server-threads",
        str(args.places + 16),
        "--log-level",
        args.log_level,
    ]
    flags += ["--inference-threads", str(args.threads)] if args.threads else []
    with serving(flags) as server, a_process() as library, a_process() as clients:
        expected = library(reference, photos, args.threads)
        longer = alternate(server.netloc, photos, lambda photo: library(single_ms, photo, args.threads), args.times)
        overhead = statistics.median(longer)
        print(
            f"a lone client waits {overhead:.1f} ms longer than for the library, median of {args.times} pairs",
            flush=True,
        )
        print(" clients  photos/s  library  ratio   p50 ms   p95 ms   p99 ms  wrong")
        rows = [row for number in CLIENTS for row in measured(args, number, photos, server.netloc, library, clients)]
        for number in CLIENTS:
            print_row([row for row in rows if row.load.clients == number], expected)
        many, livez = shot(server.netloc, photos, args.burst, clients)
    print_burst(many, livez, expected)
    if args.json:
        args.json.write_text(json.dumps({"rows": [asdict(row) for row in rows], "burst": asdict(many), "livez": livez}))
    check(overhead, [row for row in rows if row.load.clients == CLIENTS[-1]], livez)
    return int(any(wrong(load, expected) or load.failures for load in [*(row.load for row in rows), many]))


@dataclass(frozen=True)
class Row:
    """What clients saw, and what the library did right before them, in photos per second."""

    load: Load
    library: float

    @property
    def rate(self) -> float:
        """Photos per second."""
        return self.load.answered / self.load.seconds


def measured(
    args: argparse.Namespace, number: int, photos: Sequence[bytes], netloc: str, library: Any, clients: Any
) -> Iterator[Row]:
    """Measure library and service in turn, since the speed of a machine that others use drifts."""
    part = args.seconds / ROUNDS
    for _ in range(ROUNDS):
        speed = library(batched, photos, args.threads, part / 2)
        yield Row(clients(closed_loop, netloc, photos, number, part), speed)


def shot(netloc: str, photos: Sequence[bytes], number: int, clients: Any) -> tuple[Load, list[float]]:
    """Fire a burst, while another process asks whether the server lives."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(1, context) as watcher:
        begun, over = manager.Event(), manager.Event()
        seen = watcher.submit(watch, netloc, begun, over)
        begun.wait(WATCH_SECONDS)
        load = clients(burst, netloc, photos, number)
        over.set()
        return load, seen.result()


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few seconds per row, few photos: to see that it works")
    parser.add_argument("--seconds", type=float, help="how long each row takes (default: 40)")
    parser.add_argument("--threads", type=int, help="CPU threads of the model; default: torch's choice")
    parser.add_argument("--photos", type=Path, help="a folder of JPEG files; default: photos made up")
    parser.add_argument("--places", type=int, default=64, help="how many photos may wait (default: 64)")
    parser.add_argument("--burst", type=int, default=200, help="requests of the burst (default: 200)")
    parser.add_argument("--times", type=int, help="pairs of one caption each, by library and service (default: 60)")
    parser.add_argument("--log-level", default="info", help="of the server (default: info)")
    parser.add_argument("--json", type=Path, help="write the numbers to this file, too")
    args = parser.parse_args()
    args.seconds = args.seconds or (8 if args.quick else 40)
    args.times = args.times or (20 if args.quick else 60)
    return args


def print_row(rows: Sequence[Row], expected: Expected) -> None:
    """Print one line of the table."""
    times = [time for row in rows for time in row.load.milliseconds]
    print(
        f"{rows[0].load.clients:7} {statistics.median(row.rate for row in rows):9.1f} "
        f"{statistics.median(row.library for row in rows):8.1f} {ratio(rows):6.2f} {percentile(times, 50):8.1f} "
        f"{percentile(times, 95):8.1f} {percentile(times, 99):8.1f} {sum(wrong(row.load, expected) for row in rows):6}",
        flush=True,
    )


def ratio(rows: Sequence[Row]) -> float:
    """Return the median of what the service did of what the library had just done."""
    return statistics.median(row.rate / row.library for row in rows)


def print_burst(load: Load, livez: Sequence[float], expected: Expected) -> None:
    """Print what became of a burst."""
    print(
        f"burst of {load.clients}: {len(load.captions)} answered 200, {load.refused} answered 503, "
        f"{load.failures} not answered, {wrong(load, expected)} wrong; "
        f"slowest /livez of {len(livez)}: {max(livez, default=0):.1f} ms"
    )


def check(overhead: float, rows: Sequence[Row], livez: Sequence[float]) -> None:
    """Say how the numbers stand to the goals."""
    part, slowest = ratio(rows), max(livez, default=0)
    for name, value, is_met in (
        (f"{CLIENTS[-1]} clients, part of the library's throughput", part, part >= GOALS["ratio"]),
        ("a lone client's overhead, ms", overhead, overhead <= GOALS["overhead_ms"]),
        ("slowest /livez during the burst, ms", slowest, slowest <= GOALS["livez_ms"]),
    ):
        print(f"{name}: {value:.2f} ({'met' if is_met else 'NOT met'})")


def wrong(load: Load, expected: Expected) -> int:
    """Count the answers that are not the library's caption of the photo, with its probability."""
    return sum(
        all(text != other or abs(log_prob - number) > TOLERANCE for other, number in expected[photo])
        for photo, text, log_prob in load.captions
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which so many percent lie."""
    return sorted(values)[min(int(len(values) * percent / 100), len(values) - 1)] if values else float("nan")


if __name__ == "__main__":
    sys.exit(main())
