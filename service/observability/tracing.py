"""Traces for OpenTelemetry, if the operator wants them: a span per request, and within it one per part.

Where they are sent to is said by OpenTelemetry's own environment variables, such as ``OTEL_EXPORTER_OTLP_ENDPOINT``.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app, has_app_context

from captioner.errors import ConfigError
from service.observability.access import Answer

try:
    from opentelemetry import propagate, trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    INSTALLED = True
except ImportError:
    INSTALLED = False

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

EXTENSION = "tracer"  # where the application keeps it
Wsgi = Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]


def open_exporter() -> "TracerProvider":
    """Return what sends traces to a collector, in a thread of its own.

    Raises:
        ConfigError: If OpenTelemetry is not installed.
    """
    if not INSTALLED:
        raise ConfigError("tracing is true, but OpenTelemetry is not installed; pip install 'captioner[tracing]'")
    provider = TracerProvider(resource=Resource.create({"service.name": "captioner"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def trace_requests(app: Flask, provider: "TracerProvider") -> None:
    """Let every request of an application be a span, part of the caller's trace if it names one."""
    tracer = provider.get_tracer("captioner")
    app.extensions[EXTENSION] = tracer
    inner: Wsgi = app.wsgi_app

    def traced(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        caller = propagate.extract({"traceparent": environ.get("HTTP_TRACEPARENT", "")})
        with tracer.start_as_current_span("request", caller, trace.SpanKind.SERVER):
            return inner(environ, start_response)

    app.wsgi_app = traced  # type: ignore[method-assign]


def trace_answer(answer: Answer) -> None:
    """Write an answer into the span of its request."""
    span = trace.get_current_span()
    span.update_name(f"{answer.method} {answer.route}")
    span.set_attributes(
        {
            "http.request.method": answer.method,
            "http.route": answer.route,
            "http.response.status_code": answer.status,
            "captioner.request_id": answer.request_id,
        }
    )
    if answer.status >= 500:
        span.set_status(trace.StatusCode.ERROR)


def span(name: str) -> AbstractContextManager[Any]:
    """Time a part of the current request, if the service traces; else do nothing."""
    tracer = current_app.extensions.get(EXTENSION) if has_app_context() else None
    return nullcontext() if tracer is None else tracer.start_as_current_span(name)
