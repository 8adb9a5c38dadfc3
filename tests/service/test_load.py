"""More requests than there are places, over real sockets: some wait, all others are refused, and health answers."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask

from service import Settings, create_app
from service.inference.engine import Engine
from service.inference.jobs import Model
from service.server import HEALTH_PATHS, HealthFirst
from tests.support.fakes import FakePredictor
from tests.support.gates import PATIENCE, Clock, Gate, Listener

pytestmark = pytest.mark.slow
MakePhoto = Callable[..., bytes]
Serve = Callable[[Flask], AbstractContextManager[str]]
Answer = tuple[int, dict[str, str], dict[str, Any]]
PLACES, BURST = 3, 40


@pytest.fixture
def settings() -> Settings:
    return Settings(port=0, max_waiting=PLACES, server_threads=PLACES + 8)


@pytest.fixture
def predictor() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def ask(url: str, path: str, data: bytes | None = None) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request("GET" if data is None else "POST", path, data)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), json.loads(response.read())
    finally:
        connection.close()


def test_a_burst_is_answered_to_the_last_request(app: Flask, serve: Serve, predictor: Gate, photo: MakePhoto) -> None:
    with serve(app) as url, ThreadPoolExecutor(BURST) as clients:
        first = clients.submit(ask, url, "/v1/captions", photo(0))
        predictor.wait_until_entered()
        burst = [clients.submit(ask, url, "/v1/captions", photo(shade)) for shade in range(1, BURST)]
        refused = threading.Semaphore(0)
        for future in burst:
            future.add_done_callback(lambda _: refused.release())
        for _ in range(BURST - PLACES):
            assert refused.acquire(timeout=PATIENCE)
        assert [ask(url, path)[0] for path in ("/livez", "/readyz")] == [200, 200]  # while all places are taken
        predictor.opened.set()
        answers = [future.result(PATIENCE) for future in (first, *burst)]
    assert sorted(status for status, _, _ in answers) == [200] * PLACES + [503] * (BURST - PLACES)
    for shade, (status, headers, answer) in enumerate(answers):
        if status == 200:
            assert answer["captions"][0]["text"] == f"a photo of red {shade}"
        else:
            assert int(headers["Retry-After"]) >= 1
            assert (answer["type"], answer["title"]) == ("urn:captioner:problem:busy", "Busy")


def test_health_goes_before_all_that_waits_for_a_thread() -> None:
    queue, paths = HealthFirst(HEALTH_PATHS), ["/v1/captions", "/", "/livez", "/v1/scores", "/readyz"]
    for path in paths:
        queue.add_task(SimpleNamespace(requests=[SimpleNamespace(path=path)]))
    queue.add_task(SimpleNamespace(requests=[SimpleNamespace(error="no request at all")]))
    order = [getattr(task.requests[0], "path", None) for task in queue.queue]
    assert order == ["/readyz", "/livez", "/v1/captions", "/", "/v1/scores", None]


def test_an_answer_that_takes_too_long_is_a_504(photo: MakePhoto) -> None:
    clock, listener = Clock(), Listener()
    engine = Engine(Settings(), listener, clock)
    app = create_app(engine, Settings())
    engine.use(Model(FakePredictor()))
    late = threading.Event()
    entered = threading.Event()

    def hold() -> None:
        entered.set()
        assert late.wait(PATIENCE)
        clock.now += 31

    with ThreadPoolExecutor(2) as threads:
        call = threads.submit(engine.call, hold)
        assert entered.wait(PATIENCE)
        response = threads.submit(app.test_client().post, "/v1/captions", data=photo())
        assert listener.has_queue.wait(PATIENCE)
        late.set()
        call.result(PATIENCE)
        problem = response.result(PATIENCE)
    assert problem.status_code == 504
    assert problem.get_json()["type"] == "urn:captioner:problem:deadline-passed"
    assert listener.reasons == ["deadline"]
    assert listener.batches == []


def test_health_while_loading_draining_and_stuck(photo: MakePhoto) -> None:
    clock, listener = Clock(), Listener()
    engine = Engine(Settings(), listener, clock)
    client = create_app(engine, Settings()).test_client()

    def answers(*statuses: int) -> None:
        for path, status in zip(("/livez", "/readyz", "/v1/captions"), statuses, strict=True):
            response = client.get(path) if path[1] != "v" else client.post(path, data=photo())
            assert response.status_code == status, path
            if status == 503:
                assert int(response.headers["Retry-After"]) >= 1
            if status != 200:
                assert response.mimetype == "application/problem+json"

    answers(200, 503, 503)
    engine.use(Model(FakePredictor()))
    answers(200, 200, 200)
    engine.drain(PATIENCE)
    answers(200, 503, 503)
    assert listener.reasons == ["not_ready", "draining"]
    assert client.post("/v1/scores?text=dogs", data=photo()).status_code == 503


def test_a_stuck_model_is_neither_alive_nor_ready(photo: MakePhoto) -> None:
    clock = Clock()
    engine = Engine(Settings(stuck_seconds=60), None, clock)
    engine.use(Model(FakePredictor()))
    client = create_app(engine, Settings()).test_client()
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        assert leave.wait(PATIENCE)

    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(engine.call, hold)
        assert entered.wait(PATIENCE)
        clock.now += 61
        stuck = [client.get(path) for path in ("/livez", "/readyz")]
        leave.set()
        call.result(PATIENCE)
    for response in stuck:
        assert (response.status_code, response.get_json()["title"]) == (500, "Stuck")
    assert client.get("/livez").status_code == 200
