"""Measure this checkout against another revision of it, as ratios within one run.

The other revision is checked out beside this one (git worktree) for as long as it takes. Each has a process of its
own, and they take turns at every row in every round, one idle while the other works; so does the service of each. A
ratio is this checkout's time, memory or rate over the other's, taken round by round: below 1 is less. Each takes
its own shipped model unless --checkpoint names one for both. Changes that are not committed count.
"""

import json
import multiprocessing
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.commands.start import NAMES, library_options, start_library, start_service
from benchmarks.models import add_model_arguments
from benchmarks.photos import read_photos
from benchmarks.report import add_json_argument, introduce, publish
from benchmarks.service.clients import closed_loop
from benchmarks.service.program import ROOT, environment, serving
from benchmarks.timing import ratio
from captioner.errors import OptionError

EPILOG = __doc__
WORKER = Path(__file__).parents[1] / "worker.py"
BATCH = 8
PARTS = ("photo", "start", "service")
TITLES = {"name": "what", "this": "this", "other": "other", "ratio": "ratio, and quartiles"}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("revision", nargs="?", default="HEAD~1", help="of git (default: the parent of this commit)")
    add_model_arguments(parser)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="JPEG files; default: photos made up")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure (default: all)")
    parser.add_argument("--rounds", type=int, default=15, help="how often each row is timed (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=3, help="how often each is started (default: %(default)s)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 32], help="of the service (default: 1 32)")
    parser.add_argument("--seconds", type=float, default=5, help="of load in each round (default: %(default)s)")
    add_json_argument(parser)


def run(arguments: Namespace) -> int:
    """Measure both, and print the ratios."""
    files = read_photos(arguments.photos, BATCH)
    options = library_options(arguments.checkpoint, arguments.runtime, arguments.threads)
    introduce(this=commit("HEAD"), other=commit(arguments.revision))
    with checked_out(arguments.revision) as other:
        roots = (ROOT, other)
        rows: list[dict[str, Any]] = []
        further: dict[str, Any] = {}
        if "photo" in arguments.only:
            further, found = captioned(roots, files, options, arguments.rounds)
            rows += found
        if "start" in arguments.only:
            rows += started(roots, files[0], options, arguments.starts)
        if "service" in arguments.only:
            rows += loaded(roots, files, options, arguments)
    publish("compare", rows, TITLES, arguments.json, other=arguments.revision, **further)
    return 0


def commit(revision: str) -> str:
    """Return the short hash of a revision of this checkout.

    Raises:
        OptionError: If git does not know it.
    """
    return _git("rev-parse", "--short", f"{revision}^{{commit}}")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode:
        raise OptionError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Give a folder with another revision of this checkout.

    Raises:
        OptionError: If git does not know the revision.
    """
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        tree = Path(folder) / "tree"
        _git("worktree", "add", "--detach", str(tree), commit(revision))
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


class Worker:
    """A process that captions with the library of a checkout; see ``benchmarks/worker.py``.

    Args:
        root: Of the checkout.
        order: What it is told at its start.
    """

    def __init__(self, root: Path, order: Mapping[str, Any]) -> None:
        command = [sys.executable, "-P", str(WORKER), json.dumps(order)]  # -P: not the folders beside the file
        self._process = subprocess.Popen(  # noqa: S603 - our own
            command, cwd=root, env=environment(root), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.told: dict[str, Any] = json.loads(self._line())

    def _line(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise OptionError("a worker ended; what it said stands above")
        return line

    def seconds(self, name: str) -> float:
        """Run a row once; return the seconds per photo."""
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(name) + "\n")
            self._process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def captioned(
    roots: Sequence[Path], files: Sequence[bytes], options: dict[str, Any], rounds: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Time every row of both in turn.

    Returns:
        Whose models they are and on how many photos their captions are equal; and the rows.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        paths = [Path(folder) / f"{number}.jpg" for number in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        order = {"files": list(map(str, paths)), "options": options, "batch": BATCH}
        workers = []
        for root in roots:
            workers.append(Worker(root, order))
            stack.callback(workers[-1].close)
        names = [name for name in workers[0].told["rows"] if name in workers[1].told["rows"]]
        times: dict[str, list[list[float]]] = {name: [[], []] for name in names}
        for number in range(rounds + 1):  # the first to warm up
            for name in names:
                for side in (number % 2, 1 - number % 2):  # who goes first changes, too
                    seconds = workers[side].seconds(name)
                    if number:
                        times[name][side].append(1000 * seconds)
        equal = sum(one == two for one, two in zip(*(worker.told["captions"] for worker in workers), strict=True))
        further = {"models": [worker.told["model"] for worker in workers], "equal_captions": f"{equal} of {len(files)}"}
    print(f"models: {' and '.join(further['models'])}; equal captions: {further['equal_captions']}\n", flush=True)
    return further, [row(f"{name}, ms", *sides) for name, sides in times.items()]


def row(name: str, this: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """Return what was measured of both, round by round, and the ratio."""
    share = ratio(this, other)
    quartiles = {"ratio_median": share.median, "ratio_low": share.low, "ratio_high": share.high}
    return {"name": name, "this": median(this), "other": median(other), "ratio": str(share), **quartiles}


def started(roots: Sequence[Path], photo: bytes, options: dict[str, Any], times: int) -> list[dict[str, Any]]:
    """Start library and service of both in turn."""
    for root in roots:  # the first reads files from the disk
        start_library(options, photo, root)
    found: list[list[dict[str, float]]] = [[], []]
    for _ in range(times):
        for side, root in zip(found, roots, strict=True):
            side.append(start_library(options, photo, root) | start_service(service_flags(options), photo, root))
    both = [{key: [one[key] for one in side] for key in side[0] if side[0][key] is not None} for side in found]
    return [row(title, both[0][key], both[1][key]) for key, title in NAMES.items() if all(key in side for side in both)]


def service_flags(options: Mapping[str, Any]) -> list[str]:
    """Return the flags of a service that takes the model of these options; a runtime is the service's own choice."""
    named = {"--checkpoint": options.get("path"), "--inference-threads": options.get("threads")}
    return [word for flag, value in named.items() if value is not None for word in (flag, str(value))]


def loaded(
    roots: Sequence[Path], files: Sequence[bytes], options: Mapping[str, Any], arguments: Namespace
) -> list[dict[str, Any]]:
    """Load the service of both in turn, with clients in another process."""
    flags = [*service_flags(options), "--log-level", "warning"]
    rates: dict[int, list[list[float]]] = {number: [[], []] for number in arguments.clients}
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(flags, root)) for root in roots]
        clients = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        for _ in range(arguments.starts):
            for number, sides in rates.items():
                for side, server in zip(sides, servers, strict=True):
                    load = clients.submit(closed_loop, server.netloc, files, number, arguments.seconds).result()
                    if load.failures or not load.captions:
                        raise OptionError(
                            f"of {number} clients {load.failures} were not answered, {len(load.captions)} were"
                        )
                    side.append(load.rate)
    return [row(f"service, {number} clients, photos/s", *sides) for number, sides in rates.items()]
