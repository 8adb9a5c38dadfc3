"""The simulation of services under load says what queueing theory says, and loses nobody."""

import random
import statistics
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from benchmarks.capacity.formulas import blocked_erlang_b, blocked_m_m_1_k, waiting_m_d_1
from benchmarks.capacity.simulation import (
    ANSWERED,
    GIVEN_UP,
    REFUSED,
    Request,
    Simulation,
    System,
    closed_load,
    open_load,
    poisson,
)

MANY = 15_000  # requests: the means of so many are within some percent of the theory's
ONE_BY_ONE = System({1: 0.1}, max_batch=1, max_wait=0.0, places=10**6, deadline=1e9, tries=1)


def share(requests: list[Request], fate: str) -> float:
    return sum(request.fate == fate for request in requests) / len(requests)


@pytest.mark.parametrize("busy", [0.3, 0.6])
def test_the_wait_for_one_server_is_that_of_m_d_1(busy: float) -> None:
    rate = busy / 0.1
    requests = open_load(ONE_BY_ONE, rate, MANY / rate)
    assert statistics.fmean(request.wait for request in requests) == pytest.approx(waiting_m_d_1(rate, 0.1), rel=0.07)
    assert share(requests, ANSWERED) == 1


@pytest.mark.parametrize("busy", [0.9, 1.2])
def test_every_wait_follows_lindley_s_recursion(busy: float) -> None:
    """Each waits for what is left of the one before: W' = max(0, W + S - A) (Lindley 1952)."""
    requests, wait = open_load(ONE_BY_ONE, busy / 0.1, 300), 0.0
    for last, request in zip([requests[0], *requests], requests, strict=False):
        wait = max(0.0, wait + 0.1 - (request.asked - last.asked)) if request is not last else 0.0
        assert request.wait == pytest.approx(wait, abs=1e-6)


@pytest.mark.parametrize(("servers", "offered"), [(1, 0.5), (3, 2.0), (6, 8.0)])
def test_the_share_that_finds_no_server_free_is_erlang_s(servers: int, offered: float) -> None:
    system = replace(ONE_BY_ONE, places=1, replicas=servers)
    requests = open_load(system, offered / 0.1, MANY * 0.1 / offered)
    assert share(requests, REFUSED) == pytest.approx(blocked_erlang_b(offered, servers), rel=0.06)


@pytest.mark.parametrize(("places", "offered"), [(1, 0.5), (4, 0.8), (5, 1.5)])
def test_the_share_that_finds_no_place_is_that_of_m_m_1_k(places: int, offered: float) -> None:
    chance = random.Random(7)  # noqa: S311 - no secrets
    system = replace(ONE_BY_ONE, places=places, jitter=lambda: chance.expovariate(1))
    requests = open_load(system, offered / 0.1, MANY * 0.1 / offered)
    assert share(requests, REFUSED) == pytest.approx(blocked_m_m_1_k(offered, places), rel=0.08)


def test_the_formulas_agree_where_they_meet() -> None:
    assert blocked_erlang_b(0.7, 1) == pytest.approx(blocked_m_m_1_k(0.7, 1)) == pytest.approx(0.7 / 1.7)
    assert blocked_m_m_1_k(1, 4) == pytest.approx(blocked_m_m_1_k(1 + 1e-6, 4), rel=1e-5)
    assert waiting_m_d_1(5, 0.1) == pytest.approx(0.05)


BATCHES = System({1: 0.04, 8: 0.28, 16: 0.5})


def test_clients_that_ask_again_at_once_get_full_batches() -> None:
    """Two batches of sixteen are on their way: one at the model, one that waits."""
    found = [request for request in closed_load(BATCHES, 32, 100) if request.asked > 10]
    assert len(found) / 90 == pytest.approx(16 / 0.5, rel=0.02)
    assert statistics.median(request.latency for request in found) == pytest.approx(1.0, rel=0.02)
    [lone] = {round(request.latency, 9) for request in closed_load(BATCHES, 1, 10)}
    assert lone == 0.04  # who is alone does not wait for others


def test_of_a_burst_as_many_are_answered_as_there_are_places() -> None:
    simulation = Simulation(BATCHES)
    for _ in range(100):
        simulation.ask(0.0)
    found = Counter(request.fate for request in simulation.run())
    assert found == {ANSWERED: 64, REFUSED: 36}
    two = Simulation(replace(BATCHES, replicas=2))
    for _ in range(100):
        two.ask(0.0)
    assert {request.fate for request in two.run()} == {ANSWERED}  # what one refuses, the other takes


def test_what_waits_too_long_is_given_up() -> None:
    simulation = Simulation(replace(BATCHES, max_batch=1, deadline=0.1))
    for _ in range(10):
        simulation.ask(0.0)
    assert Counter(request.fate for request in simulation.run()) == {ANSWERED: 2, GIVEN_UP: 8}


@pytest.mark.parametrize("load", [0.3, 0.9, 1.4])
@pytest.mark.parametrize("replicas", [1, 3])
def test_everyone_has_one_fate_in_their_turn(load: float, replicas: int) -> None:
    system = replace(BATCHES, replicas=replicas, before=0.003)
    arrivals = list(poisson(load * system.capacity, 60, seed=3))
    simulation = Simulation(system)
    for when in arrivals:
        simulation.ask(when)
    found = simulation.run()
    assert [request.asked for request in found] == arrivals
    assert {request.fate for request in found} <= {ANSWERED, REFUSED}
    answered = [request for request in found if request.fate == ANSWERED]
    assert all(request.asked + 0.003 == pytest.approx(request.submitted) for request in answered)
    assert all(request.submitted <= request.begun < request.ended for request in answered)
    batches = defaultdict(list)
    for request in answered:
        batches[request.begun, request.ended].append(request)
    assert max(map(len, batches.values())) <= 16
    if replicas == 1:
        assert sorted(answered, key=lambda one: one.submitted) == sorted(answered, key=lambda one: one.begun)
        assert len(answered) / (answered[-1].ended - answered[0].asked) <= system.capacity


def test_times_between_the_measured_sizes_are_interpolated_and_rounded_up() -> None:
    assert BATCHES.seconds(1) == 0.04
    assert BATCHES.seconds(5) == BATCHES.seconds(6) == pytest.approx(0.04 + 5 / 7 * 0.24)  # the service runs 6
    assert BATCHES.seconds(13) == BATCHES.seconds(16) == 0.5
    assert BATCHES.capacity == 32
    assert System({8: 0.4}).seconds(16) == 0.8
