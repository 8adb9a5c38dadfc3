"""What Prometheus reads: every number that an observer hears, by route and never by path."""

import re
from collections.abc import Callable
from typing import Any, get_args

import pytest
from flask import Flask
from flask.testing import FlaskClient

from captioner.types import Caption
from service import Settings, create_app
from service.app import add_observability
from service.observability.metrics import Metrics
from service.observability.observer import Observer, Reason
from tests.support.fakes import FakePredictor

MakePhoto = Callable[..., bytes]
URL = "/v1/captions"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def app(app: Flask, metrics: Metrics, settings: Settings) -> Flask:
    add_observability(app, metrics, settings)
    return app


def value(metrics: Metrics, metric: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(metric, labels)


def test_metrics_are_an_observer(metrics: Metrics) -> None:
    observer: Observer = metrics  # which mypy checks
    observer.queued(3)
    observer.batch(2, [0.02, 0.004], 0.08)
    observer.batch(1, [0.5], 0.03)
    observer.decoded(0.003)
    observer.cache(True)
    observer.cache(False)
    observer.cache(False)
    observer.ready(True)
    assert value(metrics, "captioner_queue_depth") == 3
    assert value(metrics, "captioner_batch_size_count") == 2
    assert value(metrics, "captioner_batch_size_sum") == 3
    assert value(metrics, "captioner_batch_size_bucket", le="1.0") == 1
    assert value(metrics, "captioner_inference_seconds_sum") == pytest.approx(0.11)
    assert value(metrics, "captioner_queue_wait_seconds_count") == 3
    assert value(metrics, "captioner_queue_wait_seconds_bucket", le="0.025") == 2
    assert value(metrics, "captioner_decode_seconds_sum") == pytest.approx(0.003)
    assert value(metrics, "captioner_cache_hits_total") == 1
    assert value(metrics, "captioner_cache_misses_total") == 2
    assert value(metrics, "captioner_ready") == 1
    for succeeded, failed in ((False, 1), (False, 1), (True, 0)):
        observer.reloaded(succeeded)
        assert value(metrics, "captioner_reload_failed") == failed
    assert value(metrics, "captioner_reloads_total", result="failed") == 2
    assert value(metrics, "captioner_reloads_total", result="succeeded") == 1
    observer.ready(False)
    observer.queued(0)
    assert value(metrics, "captioner_ready") == 0
    assert value(metrics, "captioner_queue_depth") == 0


@pytest.mark.parametrize("reason", get_args(Reason))
def test_rejections_start_at_zero_and_are_counted_by_reason(metrics: Metrics, reason: Reason) -> None:
    assert value(metrics, "captioner_rejected_total", reason=reason) == 0
    metrics.rejected(reason)
    assert value(metrics, "captioner_rejected_total", reason=reason) == 1


def test_only_the_model_that_answers_is_named(metrics: Metrics) -> None:
    metrics.model("flickr8k", "1", "ab12")
    metrics.model("flickr8k", "2", "cd34")
    assert value(metrics, "captioner_model_info", name="flickr8k", version="2", sha256="cd34") == 1
    assert value(metrics, "captioner_model_info", name="flickr8k", version="1", sha256="ab12") is None


def test_answers_are_counted_by_route_and_status(client: FlaskClient, metrics: Metrics, photo: MakePhoto) -> None:
    for data in (photo(1), photo(2), b"no image", photo(image_format="JPEG")[:200], b"\xff\xd8\xff" + bytes(2**20)):
        client.post(URL, data=data)
    for status, count in (("200", 2), ("415", 1), ("422", 1), ("413", 1)):
        assert value(metrics, "captioner_requests_total", route=URL, status=status) == count
    assert value(metrics, "captioner_request_duration_seconds_count", route=URL) == 5
    for reason in ("unsupported", "invalid", "too_large"):
        assert value(metrics, "captioner_rejected_total", reason=reason) == 1


def test_what_clients_write_names_no_metric(client: FlaskClient, metrics: Metrics) -> None:
    for path in ("/secret-1", "/secret-2?secret", "/static/secret.js", "/v1/secret"):
        client.get(path)
    client.open("/livez", method="SECRET")
    text = client.get("/metrics").get_data(as_text=True)
    assert "secret" not in text.lower()
    assert value(metrics, "captioner_requests_total", route="other", status="404") == 3
    assert value(metrics, "captioner_requests_total", route="/static/<path:filename>", status="404") == 1


def test_an_unexpected_error_is_counted(photo: MakePhoto, metrics: Metrics, settings: Settings) -> None:
    class Failing(FakePredictor):
        def captions(self, *_: Any, **__: Any) -> list[list[Caption]]:
            raise RuntimeError

    app = create_app(Failing(), settings)
    add_observability(app, metrics, settings)
    app.test_client().post(URL, data=photo())
    assert value(metrics, "captioner_requests_total", route=URL, status="500") == 1


def test_what_a_hook_answers_is_counted(app: Flask, metrics: Metrics) -> None:
    app.before_request_funcs.setdefault(None, []).insert(0, lambda: ("no", 429))  # as a rate limit would
    app.test_client().get("/livez")
    assert value(metrics, "captioner_requests_total", route="/livez", status="429") == 1
    assert value(metrics, "captioner_rejected_total", reason="rate_limited") == 1


def test_the_page_of_metrics_is_what_prometheus_reads(client: FlaskClient) -> None:
    client.get("/livez")
    response = client.get("/metrics", headers={"Accept": "\x7f;;;q=text/html"})
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    text = response.get_data(as_text=True)
    assert 'captioner_requests_total{route="/livez",status="200"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert "_created" not in text
    names = set(re.findall("^# TYPE (captioner_[a-z_]+)", text, re.MULTILINE))
    assert len(names) == 14


def test_metrics_can_be_switched_off(predictor: FakePredictor, metrics: Metrics) -> None:
    settings = Settings(metrics=False)
    app = create_app(predictor, settings)
    add_observability(app, metrics, settings)
    assert app.test_client().get("/metrics").status_code == 404


def test_two_services_count_apart(settings: Settings) -> None:
    both = [Metrics(), Metrics()]
    apps = [create_app(FakePredictor(), settings) for _ in both]
    for app, metrics in zip(apps, both, strict=True):
        add_observability(app, metrics, settings)
    apps[0].test_client().get("/livez")
    assert [value(m, "captioner_requests_total", route="/livez", status="200") for m in both] == [1, None]
