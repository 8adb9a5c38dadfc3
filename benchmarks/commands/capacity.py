"""How much load services bear, and what breaks first, by a simulation with measured times of the model.

The model's time for batches of several sizes is measured here, or given by --batch-seconds. Requests come by chance
(Poisson) at shares of what the replicas can do in full batches. The table tells how long photos wait for the model, how
long clients wait for an answer, and which share is answered 503 or 504; the lines below it, at which load each limit
is passed first.

--check runs the service's own admission, queue and batches in this process, with a model that sleeps as long as the
real one would work, and puts it beside the simulation of the very same arrivals.
"""

import statistics
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.capacity.engine import Sleeper, real_load
from benchmarks.capacity.simulation import (
    ANSWERED,
    GIVEN_UP,
    REFUSED,
    Request,
    Simulation,
    System,
    open_load,
    poisson,
)
from benchmarks.models import add_model_arguments, load_chosen
from benchmarks.photos import made_up
from benchmarks.report import add_json_argument, introduce, publish, table
from benchmarks.timing import Work, in_turn, percentile
from captioner.errors import OptionError
from captioner.images import read_image
from service.inference.worker import batch_sizes
from service.settings import DEFAULT_SETTINGS, Settings

EPILOG = __doc__
LOADS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.5)
SEARCH = [share / 100 for share in range(5, 151)]
WARM_UP = 0.1  # of the time, not counted
SCALE_OUT = 0.25  # seconds of wait, the autoscaler's target
TITLES = {
    "replicas": "replicas",
    "share": "load, of what they can do",
    "rate": "photos/s",
    "answered": "answered, photos/s",
    "batch": "photos a batch",
    "wait_ms": "mean wait, ms",
    "p50_ms": "median answer, ms",
    "p95_ms": "95% below, ms",
    "refused": "answered 503",
    "given_up": "answered 504",
}
CHECKED = {"name": "what", "simulated": "simulated", "real": "real"}
Found = dict[str, Any]
LIMITS: Mapping[str, Callable[[Found], bool]] = {
    f"the mean wait is above {SCALE_OUT} s, where the autoscaler adds a replica": lambda row: (
        row["wait_ms"] > 1000 * SCALE_OUT
    ),
    "one answer in 20 takes more than a second": lambda row: row["p95_ms"] > 1000,
    "a request in 1,000 is answered 503": lambda row: row["refused"] >= 0.001,
    "a request in 1,000 is answered 504": lambda row: row["given_up"] >= 0.001,
}


def batch_seconds(text: str) -> tuple[int, float]:
    """Return a size and its seconds, written as ``8:0.29``.

    Raises:
        ArgumentTypeError: If it is written otherwise.
    """
    size, _, seconds = text.partition(":")
    try:
        found = int(size), float(seconds)
    except ValueError:
        found = 0, 0.0
    if found[0] < 1 or not found[1] > 0:
        raise ArgumentTypeError(f"{text!r} is no size and its seconds, such as 8:0.29")
    return found


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument(
        "--batch-seconds", type=batch_seconds, nargs="+", metavar="SIZE:S", help="in place of measuring the model"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each size is timed (default: %(default)s)")
    parser.add_argument("--before", type=float, default=0.004, help="seconds to read a request (default: %(default)s)")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4], help="(default: 1, 2 and 4)")
    parser.add_argument("--loads", type=float, nargs="+", default=list(LOADS), help="of what they can do")
    parser.add_argument("--requests", type=int, default=20000, help="of each row (default: %(default)s)")
    parser.add_argument("--check", type=float, default=0, metavar="S", help="also run the real queue for so long")
    parser.add_argument(
        "--check-loads", type=float, nargs="+", default=[0.5, 0.9, 1.3], help="(default: 0.5, 0.9, 1.3)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the arrivals (default: %(default)s)")
    add_json_argument(parser)


def run(arguments: Namespace) -> int:
    """Simulate and print."""
    if min(*arguments.replicas, arguments.requests, 10**6) < 1 or min(*arguments.loads, 1.0) <= 0:
        raise OptionError("--replicas, --requests and --loads must be above 0")
    introduce(requests=arguments.requests)
    seconds = dict(arguments.batch_seconds or measured(arguments))
    told = ", ".join(f"{size}: {1000 * value:.0f} ms" for size, value in sorted(seconds.items()))
    print(f"the model takes, by size of batch: {told}", end="\n\n", flush=True)
    systems = [System(seconds, replicas=count, before=arguments.before) for count in arguments.replicas]
    rows = [simulated(system, share, arguments) for system in systems for share in arguments.loads]
    firsts = [line for system in systems for line in broken(system, arguments)]
    checks = list(checked(systems[0], arguments)) if arguments.check else []
    publish("capacity", rows, TITLES, arguments.json, batch_seconds=seconds, firsts=firsts, checks=checks)
    print("", *firsts, sep="\n")
    if checks:
        print(f"\n{table(checks, CHECKED)}")
    return 0


def measured(arguments: Namespace) -> Iterator[tuple[int, float]]:
    """Yield the median seconds of batches of the sizes that the service runs."""
    predictor, sizes = load_chosen(arguments), batch_sizes(DEFAULT_SETTINGS.max_batch)
    photos = [predictor.prepare(read_image(made_up(number))) for number in range(max(sizes))]
    works = [Work(str(size), lambda size=size: predictor.captions(photos[:size])) for size in sizes]  # type: ignore[misc]
    for name, times in in_turn(works, arguments.rounds).items():
        yield int(name), statistics.median(times)


def simulated(system: System, share: float, arguments: Namespace) -> Found:
    """Return a row: what becomes of requests at a share of what the replicas can do."""
    rate = share * system.capacity
    found = open_load(system, rate, arguments.requests / rate, arguments.seed)
    return {"replicas": system.replicas, "share": share, "rate": rate, **outcome(found)}


def outcome(requests: Sequence[Request]) -> Found:
    """Return what became of requests, the first ones not counted."""
    counted = requests[int(WARM_UP * len(requests)) :]
    answered = [request for request in counted if request.fate == ANSWERED]
    span = max(request.ended for request in counted) - min(request.asked for request in counted)
    latencies = [1000 * request.latency for request in answered]
    waits = [1000 * request.wait for request in answered]
    batches = len({request.begun for request in answered})
    return {
        "answered": len(answered) / span,
        "batch": len(answered) / batches if batches else float("nan"),
        "wait_ms": statistics.fmean(waits) if waits else float("nan"),
        **{f"p{percent}_ms": percentile(latencies, percent) for percent in (50, 95)},
        "refused": sum(request.fate == REFUSED for request in counted) / len(counted),
        "given_up": sum(request.fate == GIVEN_UP for request in counted) / len(counted),
    }


def broken(system: System, arguments: Namespace) -> Iterator[str]:
    """Yield at which load each limit is passed first."""
    known: dict[float, Found] = {}

    def at(share: float) -> Found:
        if share not in known:
            known[share] = simulated(system, share, arguments)
        return known[share]

    name = f"{system.replicas} replica{'s' if system.replicas > 1 else ''}"
    yield f"{name}, {system.capacity:.1f} photos/s in full batches:"
    for limit, passed in LIMITS.items():
        number = bisect_left(SEARCH, True, key=lambda share: passed(at(share)))
        if number < len(SEARCH):
            yield f"  {limit}: from {at(SEARCH[number])['rate']:.1f} photos/s on ({SEARCH[number]:.0%})"
        else:
            yield f"  {limit}: at no load up to {SEARCH[-1]:.0%}"


def checked(system: System, arguments: Namespace) -> Iterator[Found]:
    """Yield what the real queue and the simulation made of the same arrivals."""
    alone = System(system.batch_seconds, before=0.0, tries=1)
    for share in arguments.check_loads:
        sleeper = Sleeper(alone.seconds)
        arrivals = list(poisson(share * alone.capacity, arguments.check, arguments.seed))
        real = real_load(sleeper, Settings(), arrivals)
        simulation = Simulation(alone)
        for request in real:
            simulation.ask(request.asked)  # when they really came, which a busy machine makes a little later
        pairs = {"simulated": simulation.run(), "real": real}
        name = f"load {share:g}, {len(real)} requests"
        told = {key: _told(requests) for key, requests in pairs.items()}
        for what in told["real"]:
            yield {"name": f"{name}: {what}", **{key: values[what] for key, values in told.items()}}
        late = 1000 * sleeper.late / max(sleeper.batches, 1)
        yield {"name": f"{name}: batches were late by, ms", "real": late}


def _told(requests: Sequence[Request]) -> Found:
    answered = [1000 * request.latency for request in requests if request.fate == ANSWERED]
    return {
        "answered": len(answered),
        "refused": sum(request.fate == REFUSED for request in requests),
        "mean answer, ms": statistics.fmean(answered),
        "95% below, ms": percentile(answered, 95),
    }
