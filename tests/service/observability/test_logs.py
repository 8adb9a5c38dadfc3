"""The log: a line per request with its id, and nothing that a client wrote."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from captioner.types import Caption
from service import Settings, create_app
from service.__main__ import announce
from service.app import add_observability
from service.inference.jobs import Model
from service.observability.logs import QUIET, start_logging
from service.observability.metrics import Metrics
from tests.support.fakes import FakePredictor

MakePhoto = Callable[..., bytes]
Log = Callable[[], list[str]]
URL = "/v1/captions"


class Failing(FakePredictor):
    def captions(self, *_: Any, **__: Any) -> list[list[Caption]]:
        raise RuntimeError("one\ntwo")


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Log]:
    """Return what reads the lines that standard error got since it was last asked; restore the loggers afterwards."""
    root, kept = logging.getLogger(), logging.getLogger().handlers[:]
    levels = {name: logging.getLogger(name).level for name in ("root", *QUIET)}
    for handler in kept:  # start_logging would close them
        root.removeHandler(handler)
    yield lambda: capsys.readouterr().err.splitlines()  # noqa: PLW0108 - what was read must be read anew
    root.handlers[:] = kept
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def equipped(settings: Settings, predictor: FakePredictor | None = None) -> Flask:
    start_logging(settings)
    app = create_app(predictor or FakePredictor(), settings)
    add_observability(app, Metrics(), settings)
    return app


def events(log: Log) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log()]


def test_a_request_is_one_json_line(log: Log, photo: MakePhoto) -> None:
    data = photo()
    response = equipped(Settings(log_format="json")).test_client().post(URL, data=data)
    [event] = events(log)
    assert event.pop("time").endswith("+00:00")
    assert event.pop("duration_ms") >= 0
    assert event.pop("message").startswith(f"POST {URL} 200, ")
    assert event == {
        "level": "INFO",
        "logger": "service.access",
        "request_id": response.headers["X-Request-Id"],
        "method": "POST",
        "route": URL,
        "status": 200,
        "bytes_in": len(data),
        "bytes_out": len(response.data),
    }


def test_a_request_is_one_text_line(log: Log, photo: MakePhoto) -> None:
    response = equipped(Settings()).test_client().post(URL, data=photo())
    [line] = log()
    assert f" INFO service.access: POST {URL} 200, " in line
    assert f"{len(response.data)} bytes out, {response.headers['X-Request-Id']}" in line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_a_client_writes_is_not_logged(log: Log, photo: MakePhoto, log_format: str) -> None:
    client = equipped(Settings(log_format=log_format, log_level="debug")).test_client()
    client.post(URL, data={"image": (io.BytesIO(photo()), "secret.png"), "beginning": "secret"})
    client.post("/v1/scores?text=secret", data=photo())
    client.post(f"{URL}?secret=1", data=b"secret", headers={"User-Agent": "secret", "Content-Type": "secret/1"})
    client.get("/secret\r\nsecret")
    client.open("/livez", method="SECRET")
    lines = log()
    assert "secret" not in "".join(lines).lower()
    assert len(lines) == 5  # nor does Pillow tell of a photo


def test_an_error_and_its_request_have_one_id(log: Log, photo: MakePhoto) -> None:
    response = equipped(Settings(log_format="json"), Failing()).test_client().post(URL, data=photo())
    error, access = events(log)
    assert response.status_code == 500
    assert error["request_id"] == access["request_id"] == response.headers["X-Request-Id"]
    assert (error["level"], error["logger"]) == ("ERROR", "service.errors")
    assert "RuntimeError: one\ntwo" in error["exc_info"]
    assert access["status"] == 500


def test_what_only_watches_is_logged_when_debugging(log: Log) -> None:
    for level, lines in (("info", 0), ("debug", 3)):
        client = equipped(Settings(log_level=level)).test_client()
        for path in ("/livez", "/readyz", "/metrics"):
            client.get(path)
        assert len(log()) == lines


def test_a_request_without_a_body(log: Log) -> None:
    equipped(Settings(log_format="json")).test_client().get(URL)
    [event] = events(log)
    assert (event["status"], event["bytes_in"]) == (405, None)


def test_events_outside_of_requests_have_no_id(log: Log) -> None:
    start_logging(Settings(log_format="json", log_level="warning"))
    logging.getLogger("elsewhere").info("not this")
    logging.getLogger("elsewhere").warning("but %s", "this")
    [event] = events(log)
    assert event["message"] == "but this"
    assert "request_id" not in event


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.usefixtures("log")
def test_ready_is_an_event_with_the_name_of_the_model(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    settings = Settings(log_format=log_format, prefix="/cap")
    start_logging(settings)
    announce(Model(FakePredictor()), ["http://127.0.0.1:80"], settings)
    out, err = capsys.readouterr()
    assert "ready: fake 1.2.3 answers at http://127.0.0.1:80/cap" in err
    if log_format == "text":
        assert out.split()[-1] == "http://127.0.0.1:80/cap"
        return
    assert out == ""  # whoever gathers both streams gathers only JSON
    event = json.loads(err)
    assert (event["event"], event["model"], event["version"]) == ("ready", "fake", "1.2.3")
    assert event["urls"] == ["http://127.0.0.1:80/cap"]
    assert event["time"]
