"""Every answer of the application, told to whoever counts or logs: how long it took and how large it was.

Photos, file names and paths are not part of it: a path is named by the template of its route, so that what a client
writes cannot fill a log or a table of metrics.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response, g, request, request_started

from service.errors import request_id

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
OTHER = "other"  # a method that is none of these; an address without a route
WATCHERS = frozenset({"/livez", "/readyz", "/metrics"})  # routes that machines ask every few seconds


@dataclass(frozen=True)
class Answer:
    """What is told of an answer.

    Attributes:
        method: The HTTP method, or ``other``.
        route: The template of the route, such as ``/v1/captions``, or ``other``.
        status: The HTTP status.
        seconds: How long the application took.
        bytes_in: The length of the request's body; None if the client did not say.
        bytes_out: The length of the answer's body; None if it is streamed.
        request_id: The name of the request.
    """

    method: str
    route: str
    status: int
    seconds: float
    bytes_in: int | None
    bytes_out: int | None
    request_id: str


def observe_answers(app: Flask, *listeners: Callable[[Answer], None]) -> None:
    """Let listeners hear of every answer, in the thread and the context of its request."""
    request_started.connect(_start_clock, app)  # before any hook of a request, which may answer it already

    def tell(response: Response) -> Response:
        answer = _describe(response)
        for listener in listeners:
            listener(answer)
        return response

    app.after_request_funcs.setdefault(None, []).insert(0, tell)  # the first is called last


def _start_clock(app: Flask) -> None:  # noqa: ARG001 - the signature is the signal's
    g.started = time.perf_counter()


def _describe(response: Response) -> Answer:
    return Answer(
        method=request.method if request.method in METHODS else OTHER,
        route=request.url_rule.rule if request.url_rule is not None else OTHER,
        status=response.status_code,
        seconds=time.perf_counter() - g.started,
        bytes_in=request.content_length,
        bytes_out=response.calculate_content_length(),
        request_id=request_id(),
    )
