"""Traces: a span per request, its parts within, as part of the caller's trace."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from flask import Flask
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from captioner.errors import ConfigError
from service import Settings, create_app
from service.app import add_observability
from service.observability.access import observe_answers
from service.observability.metrics import Metrics
from service.observability.tracing import span, trace_answer, trace_requests
from tests.support.fakes import FakePredictor

MakePhoto = Callable[..., bytes]
URL = "/v1/captions"
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def app(app: Flask, exporter: InMemorySpanExporter) -> Flask:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace_requests(app, provider)
    observe_answers(app, trace_answer)
    return app


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_is_a_span_with_its_parts(app: Flask, exporter: InMemorySpanExporter, photo: MakePhoto) -> None:
    response = app.test_client().post(URL, data=photo(), headers={"traceparent": CALLER})
    spans = by_name(exporter)
    assert set(spans) == {f"POST {URL}", "decode", "inference"}
    whole = spans[f"POST {URL}"]
    assert whole.kind is SpanKind.SERVER
    assert whole.context is not None
    assert whole.context.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert dict(whole.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": URL,
        "http.response.status_code": 200,
        "captioner.request_id": response.headers["X-Request-Id"],
    }
    for part in ("decode", "inference"):
        parent = spans[part].parent
        assert parent is not None
        assert parent.span_id == whole.context.span_id


@pytest.mark.parametrize("caller", [None, "", "nonsense", "00-0-0-0", "é" * 1000])
def test_a_request_without_a_caller_starts_a_trace(
    app: Flask, exporter: InMemorySpanExporter, caller: str | None
) -> None:
    app.test_client().get("/livez", headers={} if caller is None else {"traceparent": caller})
    [whole] = exporter.get_finished_spans()
    assert (whole.name, whole.parent) == ("GET /livez", None)


def test_errors_of_ours_are_errors_of_the_span(app: Flask, exporter: InMemorySpanExporter, photo: MakePhoto) -> None:
    app.test_client().post(URL, data=b"no image")
    assert by_name(exporter)[f"POST {URL}"].status.status_code is StatusCode.UNSET
    exporter.clear()
    app.before_request_funcs[None] = [lambda: ("", 500)]
    app.test_client().post(URL, data=photo())
    assert by_name(exporter)[f"POST {URL}"].status.status_code is StatusCode.ERROR


def test_without_tracing_a_span_is_nothing(client: object) -> None:
    with span("decode") as nothing:
        assert nothing is None


def test_tracing_that_is_not_installed_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.observability.tracing.INSTALLED", False)
    settings = Settings(tracing=True)
    with pytest.raises(ConfigError, match=r"captioner\[tracing\]"):
        add_observability(create_app(FakePredictor(), settings), Metrics(), settings)


def test_the_service_runs_without_opentelemetry() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None; "
        "from service.observability import tracing; print(tracing.INSTALLED)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "False\n"


def test_tracing_is_switched_on_by_its_setting(monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("service.app.open_exporter", lambda: provider)
    settings = Settings(tracing=True)
    app = create_app(FakePredictor(), settings)
    add_observability(app, Metrics(), settings)
    app.test_client().get("/livez")
    assert [span.name for span in exporter.get_finished_spans()] == ["GET /livez"]
