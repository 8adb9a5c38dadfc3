"""Time the start: of the library from an empty process to its first caption, and of the service until it is ready.

Each start is a process of its own, the two in turn. The files have been read before, so that it is the processor
that counts and not the disk. Memory is what the process holds (Linux alone tells it).
"""

import http.client
import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.models import add_model_arguments
from benchmarks.photos import made_up
from benchmarks.report import add_json_argument, introduce, publish
from benchmarks.service.program import ROOT, environment, model_flags, serving
from benchmarks.timing import percentile, seconds_of
from captioner.errors import OptionError

EPILOG = __doc__
TITLES = {"name": "what", "median": "median", "fastest": "least", "p90": "90% below"}
LIBRARY = """
import inspect, json, os, sys, time
start = time.perf_counter()
import captioner.predictor
imported = time.perf_counter()
from captioner.malloc import keep_freed_memory
keep_freed_memory()
from captioner.predictor import CaptionPredictor
options = json.loads(sys.argv[1])
known = inspect.signature(CaptionPredictor.from_checkpoint).parameters
predictor = CaptionPredictor.from_checkpoint(**{name: options[name] for name in options if name in known})
loaded = time.perf_counter()
predictor.caption(sys.stdin.buffer.read())
captioned = time.perf_counter()
pages = int(open("/proc/self/statm").read().split()[1]) if os.path.exists("/proc/self/statm") else 0
print(json.dumps({
    "import_s": imported - start, "load_s": loaded - imported, "first_caption_s": captioned - loaded,
    "resident_mib": pages * os.sysconf("SC_PAGE_SIZE") / 2**20 if pages else None,
}))
"""
NAMES = {
    "import_s": "library: imported after, s",
    "load_s": "library: the model loaded after another, s",
    "first_caption_s": "library: the first caption after another, s",
    "resident_mib": "library: memory after the first caption, MiB",
    "ready_s": "service: ready after, s",
    "ready_mib": "service: memory at ready, MiB",
    "first_answer_s": "service: the first caption after another, s",
    "answered_mib": "service: memory after the first caption, MiB",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is started (default: %(default)s)")
    add_json_argument(parser)


def run(arguments: Namespace) -> int:
    """Start library and service in turn, and print the table."""
    photo = made_up(0)
    options = library_options(arguments.checkpoint, arguments.runtime, arguments.threads)
    flags = model_flags(arguments.checkpoint, arguments.runtime, arguments.threads)
    introduce(rounds=arguments.rounds)
    start_library(options, photo)  # which reads the files from the disk
    found = [{**start_library(options, photo), **start_service(flags, photo)} for _ in range(max(arguments.rounds, 1))]
    publish("start", rows(found), TITLES, arguments.json, rounds=arguments.rounds)
    return 0


def library_options(checkpoint: Path | None, runtime: str, threads: int | None) -> dict[str, Any]:
    """Return the arguments of ``CaptionPredictor.from_checkpoint``, as JSON has them; other versions may lack some."""
    named = {"path": checkpoint and str(checkpoint.resolve()), "runtime": runtime, "threads": threads}
    return {name: value for name, value in named.items() if value is not None}


def start_library(options: dict[str, Any], photo: bytes, root: Path = ROOT) -> dict[str, float]:
    """Start a process that captions one photo with the library of a checkout; return what it took.

    Raises:
        OptionError: If it fails.
    """
    command = [sys.executable, "-c", LIBRARY, json.dumps(options)]
    done = subprocess.run(command, input=photo, capture_output=True, check=False, cwd=root, env=environment(root))  # noqa: S603
    if done.returncode:
        raise OptionError(f"the library did not start: {done.stderr.decode(errors='replace')[-500:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def start_service(flags: Sequence[str], photo: bytes, root: Path = ROOT) -> dict[str, float]:
    """Start a service of a checkout and ask it for one caption; return what it took."""
    with serving([*flags, "--log-level", "warning"], root) as server:
        at_ready = server.resident_mebibytes()
        seconds = seconds_of(lambda: ask(server.netloc, photo))
        return {
            "ready_s": server.seconds,
            "ready_mib": at_ready,
            "first_answer_s": seconds,
            "answered_mib": server.resident_mebibytes(),
        }


def ask(netloc: str, photo: bytes) -> None:
    """Have a service caption a photo.

    Raises:
        OptionError: If it does not.
    """
    connection = http.client.HTTPConnection(netloc, timeout=60)
    try:
        connection.request("POST", "/v1/captions", photo, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise OptionError(f"the service answered {answer.status}: {answer.read(500)!r}")
        answer.read()
    finally:
        connection.close()


def rows(found: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """Return a row for each quantity over all starts; one that the system does not tell is left out."""
    columns = {key: [one[key] for one in found if one.get(key) is not None] for key in NAMES}
    return [
        {"name": NAMES[key], "median": median(values), "fastest": min(values), "p90": percentile(values, 90)}
        for key, values in columns.items()
        if values
    ]
