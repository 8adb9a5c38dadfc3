"""Bulk captioning beside the library, its memory, and whether it loses anything when it is killed.

The rate: in turns, the library reads and captions some photos in batches, with one thread and with a thread per CPU,
and captioner bulk does the same with a process per CPU. Its rate counts from when each process has made a shard, and
its CPU seconds per photo are those of many photos less those of few, so both without the start of processes. On a
machine that others use the CPU seconds say more than rates.

The memory: of the program with all its processes, each page counted once (PSS), at its most while it captions each of
the counts of photos, which are those of the folder over and over. Linux alone tells that. With --kill-workers one of
its workers is killed so often on the way: Ray goes on, and each photo must be there once.

With --kills the program itself is killed so often, at random moments, and begun again each time; each output must be,
shard by shard and byte by byte, that of a program that nobody killed.
"""

import random
import statistics
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.bulk.program import BulkProgram, shards
from benchmarks.photos import made_up
from benchmarks.report import add_json_argument, introduce, publish, table
from captioner.cpus import available_cpus
from captioner.errors import OptionError
from captioner.images import SUFFIXES
from captioner.predictor import CaptionPredictor

EPILOG = __doc__
BATCH, BLOCK = 16, 32
MADE_UP = 64  # photos, if there is no folder
TITLES = {"name": "what", "rate": "photos/s", "cpu_ms": "CPU ms per photo", "ratio": "rate, of the library's"}
MEMORY_TITLES = {
    "photos": "photos",
    "engine": "engine",
    "memory_mib": "most MiB",
    "rate": "photos/s",
    "seconds": "seconds",
    "kills": "workers killed",
    "each_once": "each photo once",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="with subfolders; default: photos made up")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="the model; default: the shipped one")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, metavar="N", help="default: one per CPU")
    parser.add_argument("--rounds", type=int, default=3, help="of the rates; 0 leaves them out (default: %(default)s)")
    parser.add_argument("--each", type=int, default=512, help="photos per round (default: %(default)s)")
    parser.add_argument("--counts", type=int, nargs="*", default=[], metavar="N", help="photos of each look at memory")
    parser.add_argument("--kill-workers", type=int, default=0, metavar="N", help="in each of these (default: none)")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="of the program itself (default: none)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills (default: %(default)s)")
    add_json_argument(parser)


def run(arguments: Namespace) -> int:
    """Measure and print; return 1 if a killed program made something else."""
    introduce(engine=arguments.engine)
    with tempfile.TemporaryDirectory() as folder:
        files = _files(arguments.photos, Path(folder))
        rows = rates(arguments, files, Path(folder)) if arguments.rounds else []
        held = [memories(arguments, files, Path(folder), count) for count in arguments.counts]
        equal = killed(arguments, files, Path(folder)) if arguments.kills else None
    if held:
        print(table(held, MEMORY_TITLES), end="\n\n")
    publish("bulk", rows, TITLES, arguments.json, memory=held, kills=equal)
    if equal is not None:
        print(f"\n{equal['kills']} kills in {equal['jobs']} jobs: {equal['told']}")
    return int(equal is not None and not equal["ok"])


def _files(folder: Path | None, beside: Path) -> list[Path]:
    """Return the photos of a folder, or of one with photos that are made up."""
    if folder is None:
        folder = beside / "photos"
        folder.mkdir()
        for number in range(MADE_UP):
            (folder / f"{number:03}.jpg").write_bytes(made_up(number))
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise OptionError(f"{folder} holds no photos")
    return found


def _options(arguments: Namespace) -> list[str]:
    named = {"--engine": arguments.engine, "--checkpoint": arguments.checkpoint, "--workers": arguments.workers}
    return [word for flag, value in named.items() if value is not None for word in (flag, str(value))]


def _program(arguments: Namespace, files: Sequence[Path], folder: Path, count: int, block: int) -> BulkProgram:
    workers = arguments.workers or available_cpus()
    return BulkProgram(list(islice(cycle(files), count)), folder, _options(arguments), block, workers)


def rates(arguments: Namespace, files: Sequence[Path], folder: Path) -> list[dict[str, Any]]:
    """Return how fast the library is and how fast the program, as medians of rounds in which they take turns."""
    chosen = list(islice(cycle(files), arguments.each))
    few = 2 * BLOCK * (arguments.workers or available_cpus())
    libraries = {
        f"library, batches of {BATCH}, {_threads(threads)}": CaptionPredictor.from_checkpoint(
            arguments.checkpoint, device="cpu", threads=threads
        )
        for threads in sorted({1, available_cpus()})
    }
    program = f"captioner bulk --engine {arguments.engine}"
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in (*libraries, program)}
    for number in range(arguments.rounds):
        for name, predictor in libraries.items():
            found[name].append(_library(predictor, chosen))
        small = _program(arguments, files, folder, few, BLOCK).whole(f"few-{number}")
        large = _program(arguments, files, folder, few + arguments.each, BLOCK).whole(f"many-{number}")
        found[program].append((large.rate, (large.cpu_seconds - small.cpu_seconds) / arguments.each))
    return list(_rows(found))


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _library(predictor: CaptionPredictor, files: Sequence[Path]) -> tuple[float, float]:
    """Return the photos per second, and the CPU seconds per photo, of reading and captioning in batches."""
    begun, cpu = time.monotonic(), time.process_time()
    for start in range(0, len(files), BATCH):
        predictor.captions([predictor.read(path.read_bytes()).image for path in files[start : start + BATCH]])
    return len(files) / (time.monotonic() - begun), (time.process_time() - cpu) / len(files)


def _rows(found: dict[str, list[tuple[float, float]]]) -> Any:
    """Yield a row for each; rates are compared with the fastest library of the same round."""
    best = [max(rate for rate, _ in rates) for rates in zip(*list(found.values())[:-1], strict=True)]
    for name, values in found.items():
        rates, cpus = zip(*values, strict=True)
        yield {
            "name": name,
            "rate": statistics.median(rates),
            "cpu_ms": 1000 * statistics.median(cpus),
            "ratio": statistics.median(rate / other for rate, other in zip(rates, best, strict=True)),
            "rounds": values,
        }


def memories(arguments: Namespace, files: Sequence[Path], folder: Path, count: int) -> dict[str, Any]:
    """Return what a program held at its most that captioned so many photos."""
    seen = _program(arguments, files, folder, count, 256 if count >= 1000 else BLOCK).whole(
        f"{count}", arguments.kill_workers
    )
    print(f"{count} photos: {seen}", flush=True)
    return {
        "photos": count,
        "engine": arguments.engine,
        "memory_mib": seen.memory / 2**20,
        "rate": seen.rate,
        "seconds": seen.seconds,
        "kills": seen.kills,
        "each_once": "yes",
    }


def killed(arguments: Namespace, files: Sequence[Path], folder: Path) -> dict[str, Any]:
    """Kill programs at random moments until there were enough kills; return whether all made the same."""
    chance = random.Random(arguments.seed)  # noqa: S311 - moments, no secrets
    program = _program(arguments, files, folder, arguments.each, 8)
    seconds = program.whole("undisturbed").seconds
    expected, kills, jobs = _contents(folder / "undisturbed"), 0, 0
    moments: list[tuple[float, int]] = []
    while kills < arguments.kills:
        output = folder / f"killed-{jobs}"
        while kills < arguments.kills and program.killed(output, after := chance.uniform(0, seconds)):
            kills, moments = kills + 1, [*moments, (round(after, 2), len(shards(output)))]
            if not _contents(output).items() <= expected.items():
                return _told(kills, jobs + 1, moments, "a shard differs from the undisturbed run's", ok=False)
        program.whole(output.name)
        if _contents(output) != expected:
            return _told(kills, jobs + 1, moments, "the outputs differ from the undisturbed run's", ok=False)
        jobs += 1
    return _told(kills, jobs, moments, "every output is the undisturbed run's, byte for byte", ok=True)


def _told(kills: int, jobs: int, moments: list[tuple[float, int]], told: str, ok: bool) -> dict[str, Any]:
    print("seconds after which it was killed, and shards that were there:", *moments, flush=True)
    return {"kills": kills, "jobs": jobs, "moments": moments, "told": told, "ok": ok}


def _contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in shards(output)}
