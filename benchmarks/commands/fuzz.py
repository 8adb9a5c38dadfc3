"""Throw hostile files and requests at the service, over real sockets.

Without ``--url`` it starts ``python -m service`` on the shipped model. Half of the shots are photos of all kinds
that were damaged, sent properly; the others are odd or damaged requests. Printed is how many shots of each kind got
which answer. A 5xx other than 503 and 504, no answer to a proper request, an answer that is not HTTP or shows a
traceback, or one that takes too long is a failure; so is a service that no longer lives afterwards. The exit status
tells, and ``--seed S --only N`` repeats shot N.
"""

import contextlib
import json
import re
import socket
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.service.hostile import PATHS, Shot, request_bytes, shot
from benchmarks.service.program import serving

EPILOG = __doc__
ALLOWED_5XX = {"503", "504", "507"}  # busy, too late, full
IMPROPER_5XX = {"501", "505"}  # what the web server rightly says of a request that is no proper HTTP


def fire(url: str, shot: Shot, timeout: float) -> str:
    """Send a shot and return what came of it: a status, ``closed``, ``hangs``, ``garbled`` or ``traceback``."""
    parts = urlsplit(url)
    answer = bytearray()
    try:
        with socket.create_connection((str(parts.hostname), int(parts.port or 80)), timeout=timeout) as connection:
            with contextlib.suppress(ConnectionError):  # it may refuse before it has read all
                connection.sendall(shot.data)
                if not shot.proper:
                    connection.shutdown(socket.SHUT_WR)  # or it would rightly wait for what a length promised
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(2**16):
                    answer += piece
    except TimeoutError:
        return "hangs"
    return judge(bytes(answer))


def judge(answer: bytes) -> str:
    """Return the status of an answer, or what is wrong with it."""
    answer = re.sub(rb"\A(HTTP/1\.1 1\d\d [^\r]*\r\n\r\n)+", b"", answer)  # go on
    if not answer:
        return "closed"
    if b"Traceback (most recent call last)" in answer or b"X-Injected" in answer.split(b"\r\n\r\n", 1)[0]:
        return "traceback"
    found = re.match(rb"HTTP/1\.[01] ([2-5]\d\d) ", answer)
    return found[1].decode() if found else "garbled"


def is_failure(shot: Shot, outcome: str) -> bool:
    """Return whether a service that people trust would not have answered like this."""
    if outcome == "closed":
        return shot.proper
    allowed = ALLOWED_5XX if shot.proper else ALLOWED_5XX | IMPROPER_5XX
    return not outcome.isdigit() or (outcome[0] == "5" and outcome not in allowed)


@dataclass(frozen=True)
class Report:
    """What came of many shots.

    Attributes:
        outcomes: How many shots of each kind had each outcome.
        failures: The number, kind and outcome of each shot that should have ended otherwise.
    """

    outcomes: Counter[tuple[str, str]]
    failures: list[tuple[int, str, str]]


def bombard(
    url: str, numbers: Sequence[int], *, seed: int = 0, paths: Sequence[str] = PATHS, clients: int = 8, timeout: float
) -> Report:
    """Fire the shots of these numbers at a service, several at a time."""
    report = Report(Counter(), [])

    def run(number: int) -> tuple[int, Shot, str]:
        fired = shot(seed, number, paths)
        return number, fired, fire(url, fired, timeout)

    with ThreadPoolExecutor(clients) as pool:
        for number, fired, outcome in pool.map(run, numbers):
            report.outcomes[fired.kind, outcome] += 1
            if is_failure(fired, outcome):
                report.failures.append((number, fired.kind, outcome))
    return report


def lives(url: str, timeout: float) -> bool:
    """Return whether the service says that it lives."""
    return fire(url, Shot("life", request_bytes(b"GET", "/livez"), proper=True), timeout) == "200"


def known_paths(url: str, timeout: float) -> list[str]:
    """Return the paths to try: the usual ones, and those that the service documents."""
    try:
        with urllib.request.urlopen(f"{url}/openapi.json", timeout=timeout) as answer:  # noqa: S310 - the user's URL
            return sorted({*PATHS, *json.load(answer)["paths"]})
    except urllib.error.HTTPError as error:
        error.close()
        return list(PATHS)


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Run the service on the shipped model, and give its URL."""
    with serving(["--inference-threads", "1", "--log-level", "error"]) as server:
        yield f"http://{server.netloc}"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--count", type=int, default=5000, help="shots (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds, other shots")
    parser.add_argument("--only", type=int, help="fire only the shot of this number, and print it")
    parser.add_argument("--url", help="of a service that runs already")
    parser.add_argument("--clients", type=int, default=8, help="shots at a time (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=60, help="seconds after which a service hangs (default: %(default)s)"
    )


def run(arguments: Namespace) -> int:
    """Fire, print what came of it, and return the exit status."""
    numbers = range(arguments.count) if arguments.only is None else [arguments.only]
    with contextlib.nullcontext(arguments.url) if arguments.url else served() as url:
        paths = known_paths(url, arguments.timeout)
        if arguments.only is not None:
            print(shot(arguments.seed, arguments.only, paths).data)
        start = time.perf_counter()
        how = {"seed": arguments.seed, "clients": arguments.clients, "timeout": arguments.timeout}
        report = bombard(url, numbers, paths=paths, **how)
        alive = lives(url, arguments.timeout)
    show(report)
    seconds = time.perf_counter() - start
    print(f"{len(numbers)} shots in {seconds:.0f} s, seed {arguments.seed}, {len(paths)} paths: ", end="")
    print(f"{len(report.failures)} failures; the service {'lives' if alive else 'no longer answers'}")
    return 0 if alive and not report.failures else 1


def show(report: Report) -> None:
    """Print a table of kinds and outcomes, and every failure."""
    names = sorted({outcome for _, outcome in report.outcomes})
    print(f"{'':16}", *(f"{name:>7}" for name in names))
    for kind in sorted({kind for kind, _ in report.outcomes}):
        print(f"{kind:16}", *(f"{report.outcomes[kind, name] or '':>7}" for name in names))
    print(f"{'all':16}", *(f"{sum(n for (_, o), n in report.outcomes.items() if o == name):>7}" for name in names))
    for number, kind, outcome in report.failures:
        print(f"FAILURE: shot {number} ({kind}): {outcome}")
