"""A simulation, event by event, of services behind a proxy: admission, queue, batches, the model, answers.

It follows ``service/inference``: a place is held from before a photo is decoded until it is answered, and who finds
none is answered 503; the model takes what waits, up to a batch; in a crowd it waits a little for more; what waits for
longer than the deadline is given up. The proxy is ``deploy/nginx/nginx.conf``: a request goes where the fewest are, and
who is answered 503 is asked at one other service, once.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from service.inference.worker import batch_sizes
from service.settings import DEFAULT_SETTINGS

ANSWERED, REFUSED, GIVEN_UP = "answered", "refused", "given up"


@dataclass(frozen=True)
class System:
    """What is simulated; by default with the service's default settings.

    Attributes:
        batch_seconds: How long the model takes for a batch, by its size: some sizes, between which it is interpolated.
        replicas: How many services there are.
        places: Of each, for photos on their way.
        max_batch: Most photos of a batch.
        max_wait: Seconds that a batch waits for more, in a crowd.
        deadline: Seconds after which a photo is given up.
        before: Seconds from a request to the queue: to read and decode it.
        tries: At how many services a request is tried.
        jitter: Factors that the time of each batch is multiplied with, drawn one by one; 1 for ever if left out.
    """

    batch_seconds: Mapping[int, float]
    replicas: int = 1
    places: int = DEFAULT_SETTINGS.max_waiting
    max_batch: int = DEFAULT_SETTINGS.max_batch
    max_wait: float = DEFAULT_SETTINGS.max_wait_ms / 1000
    deadline: float = DEFAULT_SETTINGS.deadline_seconds
    before: float = 0.0
    tries: int = 2
    jitter: Callable[[], float] = lambda: 1.0

    def seconds(self, photos: int) -> float:
        """Return how long a batch takes, which is filled up to the next size that the service runs."""
        size = next(size for size in batch_sizes(self.max_batch) if size >= photos)
        known = sorted(self.batch_seconds)
        low = max((one for one in known if one <= size), default=known[0])
        high = min((one for one in known if one >= size), default=known[-1])
        share = (size - low) / (high - low) if high > low else 0.0
        found = (1 - share) * self.batch_seconds[low] + share * self.batch_seconds[high]
        return found * max(size / known[-1], 1) * self.jitter()

    @property
    def capacity(self) -> float:
        """Photos per second of all services in full batches, without jitter."""
        return (
            self.replicas
            * self.max_batch
            / System(self.batch_seconds, max_batch=self.max_batch).seconds(self.max_batch)
        )


@dataclass
class Request:
    """A photo on its way.

    Attributes:
        asked: When it was asked for, in seconds.
        tries: Services that have not been tried yet, at most.
        submitted: When it began to wait for the model.
        begun: When the model began with it.
        ended: When its fate was known.
        fate: Whether it was answered, refused or given up.
    """

    asked: float
    tries: int
    submitted: float = math.nan
    begun: float = math.nan
    ended: float = math.nan
    fate: str = ""

    @property
    def latency(self) -> float:
        """Seconds from the question to the answer."""
        return self.ended - self.asked

    @property
    def wait(self) -> float:
        """Seconds in the queue."""
        return self.begun - self.submitted


@dataclass
class Replica:
    """A service.

    Attributes:
        taken: Places that are held.
        waiting: What waits for the model.
        busy: Whether the model works.
        free_since: Since when it does not.
        last_size: Of its last batch.
    """

    taken: int = 0
    waiting: deque[Request] = field(default_factory=deque)
    busy: bool = False
    free_since: float = 0.0
    last_size: int = 0


class Simulation:
    """One run of a system.

    Args:
        system: What is simulated.

    Attributes:
        ended: Called with the time whenever a request ends; clients that ask again do it here, by :meth:`ask`.
        requests: All that were asked for.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self.ended: Callable[[float], None] = lambda _: None
        self._replicas = [Replica() for _ in range(system.replicas)]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._now = 0.0
        self.requests: list[Request] = []

    def ask(self, when: float) -> None:
        """Let a photo be asked for at a time."""
        request = Request(when, self._system.tries)
        self.requests.append(request)
        self._at(when, lambda: self._come(request, set()))

    def run(self, until: float = math.inf) -> list[Request]:
        """Let everything happen up to a time; return the requests whose fate is known by then."""
        while self._events and self._events[0][0] <= until:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
        return [request for request in self.requests if request.fate]

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), happen))

    def _come(self, request: Request, tried: set[int]) -> None:
        """Go to the service, of those not tried yet, where the fewest are."""
        left = [number for number in range(len(self._replicas)) if number not in tried]
        number = min(left, key=lambda one: (self._replicas[one].taken, one))
        replica = self._replicas[number]
        request.tries -= 1
        if replica.taken < self._system.places:
            replica.taken += 1
            self._at(self._now + self._system.before, lambda: self._put(request, replica))
        elif request.tries and len(left) > 1:
            self._come(request, tried | {number})
        else:
            self._end(request, REFUSED)

    def _put(self, request: Request, replica: Replica) -> None:
        request.submitted = self._now
        replica.waiting.append(request)
        self._look(replica)

    def _look(self, replica: Replica) -> None:
        """Begin a batch, if the model is free and the batch does not wait for more."""
        if replica.busy:
            return
        self._give_up(replica)
        if replica.waiting:
            size = min(len(replica.waiting), self._system.max_batch)
            begin = self._begin(replica, size)
            if begin <= self._now:
                self._work(replica, size)
            else:
                self._at(begin, lambda: self._look(replica))

    def _begin(self, replica: Replica, size: int) -> float:
        """Return when a batch begins: at once if it is full or nobody else is on the way, else it waits a little."""
        crowded = replica.last_size > 1 or max(len(replica.waiting), replica.taken) > size
        if size == self._system.max_batch or not crowded:
            return self._now
        return max(replica.waiting[0].submitted, replica.free_since) + self._system.max_wait

    def _work(self, replica: Replica, size: int) -> None:
        batch = [replica.waiting.popleft() for _ in range(size)]
        for request in batch:
            request.begun = self._now
        replica.busy, replica.last_size = True, size
        self._at(self._now + self._system.seconds(size), lambda: self._answer(replica, batch))

    def _answer(self, replica: Replica, batch: Sequence[Request]) -> None:
        replica.busy, replica.free_since = False, self._now
        replica.taken -= len(batch)
        for request in batch:
            self._end(request, ANSWERED if self._now <= request.asked + self._system.deadline else GIVEN_UP)
        self._look(replica)

    def _give_up(self, replica: Replica) -> None:
        while replica.waiting and replica.waiting[0].asked + self._system.deadline <= self._now:
            replica.taken -= 1
            self._end(replica.waiting.popleft(), GIVEN_UP)

    def _end(self, request: Request, fate: str) -> None:
        request.ended, request.fate = self._now, fate
        self.ended(self._now)


def poisson(rate: float, seconds: float, seed: int = 0) -> Iterator[float]:
    """Yield the times of events that come by chance, so many per second on average."""
    chance, now = random.Random(seed), 0.0  # noqa: S311 - no secrets
    while (now := now + chance.expovariate(rate)) < seconds:
        yield now


def open_load(system: System, rate: float, seconds: float, seed: int = 0) -> list[Request]:
    """Return what becomes of requests that come by chance, whether others are answered or not."""
    simulation = Simulation(system)
    for when in poisson(rate, seconds, seed):
        simulation.ask(when)
    return simulation.run()


def closed_load(system: System, clients: int, seconds: float) -> list[Request]:
    """Return what becomes of requests of clients that ask again as soon as they are answered."""
    simulation = Simulation(system)
    simulation.ended = simulation.ask
    for _ in range(clients):
        simulation.ask(0.0)
    return simulation.run(seconds)
