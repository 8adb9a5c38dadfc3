"""The Flask application, put together from its parts."""

from typing import Any

from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider

from service.buffering import refuse_unread
from service.corrections import CorrectionStore
from service.errors import register_errors, request_id
from service.inference.engine import Engine
from service.inference.jobs import Model
from service.inference.pipeline import CaptionPipeline
from service.inference.predictor import Predictor
from service.observability.access import observe_answers
from service.observability.logs import log_answer
from service.observability.metrics import Metrics, create_metrics_page
from service.observability.observer import Observer
from service.observability.tracing import open_exporter, trace_answer, trace_requests
from service.settings import DEFAULT_SETTINGS, Settings
from service.web.access import control_access
from service.web.adapters import create_adapters
from service.web.api import create_api
from service.web.clips import create_clips
from service.web.corrections import create_corrections
from service.web.fetching import Fetcher
from service.web.forms import MemoryRequest
from service.web.heatmaps import create_heatmaps
from service.web.pages import create_pages, create_reference
from service.web.photos import create_photos

FORM_OVERHEAD = 64 * 1024  # bytes that a form may need around the image: boundaries, part headers, options
MAX_FORM_PARTS = 32  # twice as many as there are parameters

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class MemoryFlask(Flask):
    """Flask, with uploads that never reach the disk."""

    request_class = MemoryRequest


class FiniteJSONProvider(DefaultJSONProvider):
    """Flask's JSON in the order it was written, where NaN and infinity are errors: they are not JSON."""

    sort_keys = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Serialize a value."""
        return super().dumps(obj, allow_nan=False, **kwargs)


def create_app(
    predictor: Predictor | Engine, settings: Settings = DEFAULT_SETTINGS, observer: Observer | None = None
) -> Flask:
    """Return the application.

    Args:
        predictor: The model that makes the captions; or the engine that it runs in, whose model may come later.
        settings: How the service runs.
        observer: Hears what happens to requests; an engine has its own.
    """
    engine = predictor if isinstance(predictor, Engine) else _start_engine(predictor, settings, observer)
    app = MemoryFlask(__name__, template_folder="static")
    app.json = FiniteJSONProvider(app)
    app.config.update(
        MAX_UPLOAD_BYTES=settings.max_upload_bytes,
        MAX_CONTENT_LENGTH=settings.max_upload_bytes + FORM_OVERHEAD,
        MAX_FORM_PARTS=MAX_FORM_PARTS,
    )
    register_errors(app)
    refuse_unread(app, settings.max_buffered_bytes, engine.observer)
    pipeline = CaptionPipeline(engine, settings)
    fetcher = Fetcher.from_settings(settings)
    app.register_blueprint(create_api(pipeline, engine, fetcher, settings))
    app.register_blueprint(create_clips(pipeline, fetcher, settings))
    app.register_blueprint(create_heatmaps(pipeline, fetcher, settings))
    if store := CorrectionStore.from_settings(settings):
        app.register_blueprint(create_corrections(pipeline, fetcher, store))
    for adapter in create_adapters(pipeline, engine, fetcher, settings):
        app.register_blueprint(adapter)
    if settings.photo_index is not None:
        app.register_blueprint(create_photos(settings.photo_index))
    app.register_blueprint(create_reference(settings))
    app.register_blueprint(create_pages(settings))
    app.after_request(_add_headers)
    control_access(app, settings)
    return app


def _start_engine(predictor: Predictor, settings: Settings, observer: Observer | None) -> Engine:
    engine = Engine(settings, observer)
    engine.use(Model(predictor))
    return engine


def _add_headers(response: Response) -> Response:
    response.headers.update(SECURITY_HEADERS)
    response.headers["X-Request-Id"] = request_id()
    return response


def add_observability(app: Flask, metrics: Metrics, settings: Settings) -> None:
    """Let an application be seen into, as the settings say.

    Args:
        app: The application, before its first request.
        metrics: What counts; the application's observer, too.
        settings: How the service runs.

    Raises:
        ConfigError: If traces are wanted and OpenTelemetry is not installed.
    """
    observe_answers(app, metrics.answered, log_answer)
    if settings.metrics:
        app.register_blueprint(create_metrics_page(metrics))
    if settings.tracing:
        trace_requests(app, open_exporter())
        observe_answers(app, trace_answer)
