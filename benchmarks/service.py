"""How fast the service is under load, beside the library alone: ``python benchmarks/service.py [--quick]``.

Starts the real server with the shipped model on a free port of this machine, and asks it for captions in a closed loop:
each client asks again as soon as it is answered. The clients are threads of another process, so that they take none of
the server's Python time; they share its cores. The library is measured in a third process, while the server is idle, on
the same photos: bytes in, captions out. Then a burst of far more requests than may wait. Every answer is compared with
the library's caption of the same photo.
"""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.clients import Load, burst, closed_loop
from benchmarks.library import BATCH, Library, measure_library
from benchmarks.photos import read_photos
from benchmarks.program import serving

TOLERANCE = 0.01  # of log-probabilities: those of different photos differ by far more
CLIENTS = (1, 8, 32)
GOALS = {"ratio": 0.85, "overhead_ms": 5.0, "livez_ms": 100.0}


def in_a_process(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call something in a fresh process, and return what it returns."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(call, *arguments).result()


def main() -> int:
    """Run it all, print a table, and return 1 if an answer was wrong or lost."""
    args = parse_arguments()
    photos = read_photos(args.photos, 16 if args.quick else 64)
    flags = ["--max-waiting", str(args.places), "--server-threads", str(args.places + 16)]
    flags += ["--inference-threads", str(args.threads)] if args.threads else []
    with serving(flags) as server:
        library = in_a_process(measure_library, photos, args.threads, args.seconds)
        print(
            f"library: {library.single_ms:.1f} ms for one photo; {library.batched:.1f} photos/s in batches of {BATCH}"
        )
        print(f"         ({library.inference:.1f} photos/s if decoded before)")
        print(f"{'clients':>7} {'photos/s':>9} {'ratio':>6} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'wrong':>6}")
        rows = [in_a_process(closed_loop, server.netloc, photos, n, args.seconds) for n in CLIENTS]
        for row in rows:
            print_row(row, library)
        many = in_a_process(burst, server.netloc, photos, args.burst)
    print_burst(many, library)
    report = {"library": library.__dict__, "loads": [row.__dict__ for row in rows], "burst": many.__dict__}
    if args.json:
        args.json.write_text(json.dumps(report))
    check(rows, many, library)
    everything = [*rows, many]
    return int(any(wrong(row, library) or row.failures for row in everything))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seconds per row, few photos: to see that it works")
    parser.add_argument("--seconds", type=float, help="how long each row takes (default: 20)")
    parser.add_argument("--threads", type=int, help="CPU threads of the model; default: torch's choice")
    parser.add_argument("--photos", type=Path, help="a folder of JPEG files; default: photos made up")
    parser.add_argument("--places", type=int, default=64, help="how many photos may wait (default: 64)")
    parser.add_argument("--burst", type=int, default=200, help="requests of the burst (default: 200)")
    parser.add_argument("--json", type=Path, help="write the numbers to this file, too")
    args = parser.parse_args()
    args.seconds = args.seconds or (2 if args.quick else 20)
    return args


def print_row(load: Load, library: Library) -> None:
    """Print one line of the table."""
    rate, times = load.answered / load.seconds, load.milliseconds
    print(
        f"{load.clients:7} {rate:9.1f} {rate / library.batched:6.2f} {percentile(times, 50):8.1f} "
        f"{percentile(times, 95):8.1f} {percentile(times, 99):8.1f} {wrong(load, library):6}",
        flush=True,
    )


def print_burst(load: Load, library: Library) -> None:
    """Print what became of a burst."""
    print(
        f"burst of {load.clients}: {len(load.captions)} answered 200, {load.refused} answered 503, "
        f"{load.failures} not answered, {wrong(load, library)} wrong; "
        f"slowest /livez of {len(load.livez_ms)}: {max(load.livez_ms, default=0):.1f} ms"
    )


def check(rows: Sequence[Load], many: Load, library: Library) -> None:
    """Say how the numbers stand to the goals."""
    ratio = rows[-1].answered / rows[-1].seconds / library.batched
    overhead = percentile(rows[0].milliseconds, 50) - library.single_ms
    slowest = max(many.livez_ms, default=0)
    for name, value, is_met in (
        (f"{CLIENTS[-1]} clients, part of the library's throughput", ratio, ratio >= GOALS["ratio"]),
        ("a lone client's overhead, ms", overhead, overhead <= GOALS["overhead_ms"]),
        ("slowest /livez during the burst, ms", slowest, slowest <= GOALS["livez_ms"]),
    ):
        print(f"{name}: {value:.2f} ({'met' if is_met else 'NOT met'})")


def wrong(load: Load, library: Library) -> int:
    """Count the answers that are not the library's caption of the photo, with its probability."""
    return sum(
        all(text != other or abs(log_prob - number) > TOLERANCE for other, number in library.captions[photo])
        for photo, text, log_prob in load.captions
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which so many percent lie."""
    return sorted(values)[min(int(len(values) * percent / 100), len(values) - 1)] if values else float("nan")


if __name__ == "__main__":
    sys.exit(main())
