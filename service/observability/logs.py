"""The log: one line per event and per request, as text for people or as JSON for machines.

Neither photos nor file names nor texts of clients are ever logged; a request is known by its id.
"""

import logging

from flask import has_request_context
from pythonjsonlogger.json import JsonFormatter

from service.errors import request_id
from service.observability.access import WATCHERS, Answer
from service.settings import Settings

QUIET = {  # loggers that say too much, and from which level on they are heard
    "PIL": logging.ERROR,  # what it finds in a photo, at level debug
    "waitress": logging.WARNING,  # the path of a request whose client has left
    "waitress.queue": logging.ERROR,  # a line per request that waits; metrics say it better
    "flask-limiter": logging.WARNING,  # the address of everyone who is limited
}
access = logging.getLogger("service.access")


class TextFormatter(logging.Formatter):
    """Time, level and name before each message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class JSONFormatter(JsonFormatter):
    """One JSON object per event, its time in UTC."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger", "timestamp": "time"},
            timestamp=True,
            json_ensure_ascii=False,
        )


FORMATS: dict[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JSONFormatter}


def start_logging(settings: Settings) -> None:
    """Send every event of this process to standard error, as the settings say."""
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATS[settings.log_format]())
    handler.addFilter(_name_request)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)


def log_answer(answer: Answer) -> None:
    """Log one line about an answer; what only watches the service, such as ``/livez``, at level debug."""
    level = logging.DEBUG if answer.route in WATCHERS else logging.INFO
    milliseconds = round(answer.seconds * 1000, 1)
    access.log(
        level,
        "%s %s %d, %s ms, %s bytes in, %s bytes out, %s",
        answer.method,
        answer.route,
        answer.status,
        milliseconds,
        "?" if answer.bytes_in is None else answer.bytes_in,
        "?" if answer.bytes_out is None else answer.bytes_out,
        answer.request_id,
        extra={
            "method": answer.method,
            "route": answer.route,
            "status": answer.status,
            "duration_ms": milliseconds,
            "bytes_in": answer.bytes_in,
            "bytes_out": answer.bytes_out,
        },
    )


def _name_request(record: logging.LogRecord) -> bool:
    if has_request_context():
        record.request_id = request_id()
    return True
