"""Hostile files and requests at the real server: never a 500, never a hang. `benchmarks fuzz` throws many more."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from flask import Flask

from benchmarks.__main__ import main
from benchmarks.commands.fuzz import ALLOWED_5XX, bombard, is_failure, judge, lives
from benchmarks.service.hostile import PATHS, Shot, mutate, seeds, shot
from captioner.types import Caption
from service import Settings, create_app
from service.app import add_observability
from service.corrections import LIST
from service.observability.metrics import Metrics
from tests.support.fakes import FakePredictor

pytestmark = pytest.mark.slow
Serve = Callable[[Flask], AbstractContextManager[str]]
TIMEOUT = 60
COUNT = 600
EACH = 200


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(port=0, max_upload_bytes=2**20, corrections=tmp_path / "kept", corrections_entries=20)


@pytest.fixture
def app(app: Flask, settings: Settings) -> Flask:
    add_observability(app, Metrics(), settings)
    return app


def test_hostile_files_and_requests_are_answered_and_refused(app: Flask, serve: Serve, tmp_path: Path) -> None:
    paths = sorted({*PATHS, *(rule.rule for rule in app.url_map.iter_rules())})
    with serve(app) as url:
        report = bombard(url, range(COUNT), paths=paths, timeout=TIMEOUT)
        assert lives(url, TIMEOUT)
    assert report.failures == []
    assert (tmp_path / "kept" / LIST).read_text(encoding="utf-8")
    outcomes = {outcome for _, outcome in report.outcomes}
    assert sum(report.outcomes.values()) == COUNT
    assert outcomes >= {"200", "400", "404", "405", "415", "422"}  # it got as far as the checks, and through them


@pytest.mark.parametrize("folders", [("/api/",), ("/v1/chat/", "/v1/responses", "/v1/models")])
def test_each_interface_of_language_models_withstands_200_requests(
    app: Flask, serve: Serve, folders: tuple[str, ...]
) -> None:
    paths = sorted(rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith(folders))
    aimed = [number for number in range(1, 8000, 2) if is_aimed(shot(0, number, paths), folders)][:EACH]
    assert len(aimed) == EACH
    with serve(app) as url:
        report = bombard(url, aimed, paths=paths, timeout=TIMEOUT)
        assert lives(url, TIMEOUT)
    assert report.failures == []
    assert sum(report.outcomes.values()) == EACH
    assert {outcome for _, outcome in report.outcomes} >= {"200", "400", "422"}


def is_aimed(shot: Shot, folders: tuple[str, ...]) -> bool:
    """Return whether a shot is JSON for an address in one of these folders."""
    _, _, target = shot.data.split(b"\r\n")[0].partition(b" ")
    return shot.kind in ("json", "encoded") and target.decode("latin-1").startswith(folders)


class Failing(FakePredictor):
    def captions(self, *_: Any, **__: Any) -> list[list[Caption]]:
        raise RuntimeError("hostile")


def test_a_service_that_fails_is_found_out(
    settings: Settings, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(create_app(Failing(), settings)) as url:
        report = bombard(url, range(0, 200, 2), timeout=TIMEOUT)
        first = report.failures[0][0]
        assert main(["fuzz", "--url", url, "--only", str(first)]) == 1
    assert {outcome for _, _, outcome in report.failures} == {"500"}
    assert f"FAILURE: shot {first} (file: " in capsys.readouterr().out


def test_the_command_fires_and_counts(app: Flask, serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(app) as url:
        assert main(["fuzz", "--url", url, "--count", "20", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert "20 shots in " in out
    assert "0 failures; the service lives" in out


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "200"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 422 No\r\n\r\n", "422"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "closed"),
        (b"<html>", "garbled"),
        (b"HTTP/1.1 500 No\r\n\r\nTraceback (most recent call last)", "traceback"),
        (b"HTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n", "traceback"),
    ],
)
def test_answers_are_judged(answer: bytes, outcome: str) -> None:
    assert judge(answer) == outcome


def test_what_counts_as_a_failure() -> None:
    proper, improper = Shot("a", b"", proper=True), Shot("a", b"", proper=False)
    for outcome in ("500", "502", "hangs", "garbled", "traceback"):
        assert is_failure(proper, outcome)
        assert is_failure(improper, outcome)
    for outcome in ("200", "404", "422", *ALLOWED_5XX):
        assert not is_failure(proper, outcome)
    assert is_failure(proper, "closed")
    assert not is_failure(improper, "closed")
    assert not is_failure(improper, "501")


def test_shots_can_be_repeated_and_are_of_all_kinds() -> None:
    shots = [shot(0, number) for number in range(COUNT)]
    assert shots == [shot(0, number) for number in range(COUNT)]
    assert shots != [shot(1, number) for number in range(COUNT)]
    kinds = {shot.kind for shot in shots}
    assert kinds >= {f"file: {kind.split()[0]}" for kind in seeds()}
    assert kinds >= {"form", "fields", "json", "encoded", "large", "target", "header", "bytes"}


def test_most_mutations_change_a_file() -> None:
    randoms = [Random(number) for number in range(20)]  # noqa: S311 - no secret is made
    changed = [mutate(random, data) != data for data in seeds().values() for random in randoms]
    assert sum(changed) > 0.8 * len(changed)
