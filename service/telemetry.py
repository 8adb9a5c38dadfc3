"""What an operator sees of an application, put together from its parts: metrics, the access log, traces."""

from flask import Flask

from service.observability.access import hear_answers
from service.observability.logs import log_answer
from service.observability.metrics import Metrics, create_metrics_page
from service.observability.tracing import open_exporter, trace_answer, trace_requests
from service.settings import Settings


def equip(app: Flask, metrics: Metrics, settings: Settings) -> None:
    """Let an application be seen into, as the settings say.

    Args:
        app: The application, before its first request.
        metrics: What counts; the application's observer, too.
        settings: How the service runs.

    Raises:
        ConfigError: If traces are wanted and OpenTelemetry is not installed.
    """
    hear_answers(app, metrics.answered, log_answer)
    if settings.metrics:
        app.register_blueprint(create_metrics_page(metrics))
    if settings.tracing:
        trace_requests(app, open_exporter())
        hear_answers(app, trace_answer)
