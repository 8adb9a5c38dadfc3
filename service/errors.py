"""Every error as RFC 9457 ``application/problem+json``; the only room that knows their HTTP statuses."""

import logging
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge, TooManyRequests

from captioner.errors import (
    CaptionerError,
    ImageTooLargeError,
    InvalidImageError,
    OptionError,
    UnsupportedImageError,
)
from service.prefix import outer_path

logger = logging.getLogger(__name__)
RETRY_AFTER_SECONDS = 1
PROBLEM_JSON = "application/problem+json"


class BadUploadError(CaptionerError):
    """The request does not carry exactly one image, or as many as it may."""


class UnsupportedEncodingError(CaptionerError):
    """The request's body is compressed in a way that is not read here."""


class FetchError(CaptionerError):
    """The photo at a URL may not or cannot be fetched."""


class UnknownModelError(CaptionerError):
    """The request names a model, or a version of it, that is not served."""


class UnknownCorrectionError(CaptionerError):
    """The request names a correction that is not kept."""


class CorrectionsFullError(CaptionerError):
    """As many corrections are kept as the operator allows."""


class RateLimitedError(CaptionerError):
    """The client has sent more requests than the operator allows."""


class TemporaryError(CaptionerError):
    """The parent of errors that pass by themselves.

    Args:
        detail: What is the matter.
        retry_after: In how many seconds it is worth to come again.
    """

    def __init__(self, detail: str, retry_after: int = RETRY_AFTER_SECONDS) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class BusyError(TemporaryError):
    """As many requests wait for the model as are allowed."""


class NotReadyError(TemporaryError):
    """The model is still being loaded or warmed up."""


class DrainingError(TemporaryError):
    """The service is about to stop: it finishes what it accepted, and accepts no more."""


class DeadlinePassedError(CaptionerError):
    """The answer took longer than a request may."""

    @classmethod
    def after(cls, seconds: float) -> "DeadlinePassedError":
        """Return the error of a request that was given up after so long."""
        return cls(f"the photo was not captioned within {seconds:.1f} seconds and was given up; try again later")


class StuckError(CaptionerError):
    """The thread that runs the model has died, or has been at one batch for too long."""


STATUS: dict[type[CaptionerError], int] = {
    BadUploadError: 400,
    UnknownModelError: 404,
    UnknownCorrectionError: 404,
    ImageTooLargeError: 413,
    UnsupportedImageError: 415,
    UnsupportedEncodingError: 415,
    InvalidImageError: 422,
    OptionError: 422,
    FetchError: 422,
    RateLimitedError: 429,
    BusyError: 503,
    NotReadyError: 503,
    DrainingError: 503,
    DeadlinePassedError: 504,
    StuckError: 500,
    CorrectionsFullError: 507,
}
SAFE_ID = "[A-Za-z0-9._:-]{1,64}"  # what may go into logs and headers as it is
MEBIBYTE = 2**20


def request_id() -> str:
    """Return the name of this request, the same in the answer, its headers and the log.

    It is that of the client's ``X-Request-Id``, if that is safe to repeat, or else a new one.
    """
    if "request_id" not in g:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if re.fullmatch(SAFE_ID, given) else f"req_{secrets.token_hex(8)}"
    return str(g.request_id)


def register_errors(app: Flask) -> None:
    """Let the application answer every error as a problem."""
    app.register_error_handler(CaptionerError, _answer_captioner_error)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(Exception, _answer_unexpected_error)


def answer_error(error: Exception) -> Response:
    """Return the problem that an error is to the client; what is not foreseen is logged, too."""
    if isinstance(error, CaptionerError):
        return _answer_captioner_error(error)
    return _answer_http_error(error) if isinstance(error, HTTPException) else _answer_unexpected_error(error)


def _answer_captioner_error(error: CaptionerError) -> Response:
    status = STATUS.get(type(error))
    if status is None:
        return _answer_unexpected_error(error)
    words = re.findall("[A-Z][a-z]+", type(error).__name__.removesuffix("Error"))
    slug, title = "-".join(words).lower(), " ".join(words).capitalize()
    answer = _problem(status, title, str(error), f"urn:captioner:problem:{slug}")
    if isinstance(error, TemporaryError):
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def _answer_http_error(error: HTTPException) -> Response:
    if isinstance(error, RequestEntityTooLarge):
        return _answer_captioner_error(_too_large())
    if isinstance(error, TooManyRequests):
        return _answer_captioner_error(_too_many(error))
    status = error.code or 500
    answer = _problem(status, error.name, _detail(error))
    for name, value in error.get_headers(request.environ):
        if name.lower() != "content-type":
            answer.headers[name] = value
    return answer


def _answer_unexpected_error(error: Exception) -> Response:
    logger.error("request %s failed", request_id(), exc_info=error)
    detail = "Something went wrong in the service; its log says more under this request_id."
    return _problem(500, "Internal Server Error", detail)


def _too_large() -> CaptionerError:
    length, config = request.content_length or 0, current_app.config
    if length > (request.max_content_length or 0):
        return ImageTooLargeError(
            f"the upload has {length / MEBIBYTE:.2f} MiB; "
            f"an image may have at most {config['MAX_UPLOAD_BYTES'] / MEBIBYTE:.2f} MiB"
        )
    return BadUploadError(
        f"the form has more than {config['MAX_FORM_PARTS']} parts or a text field of more than "
        f"{config['MAX_FORM_MEMORY_SIZE']} bytes; send the image as a file part named 'image'"
    )


def _too_many(error: TooManyRequests) -> CaptionerError:
    return RateLimitedError(
        f"this client has sent more than the {error.description} that are allowed; wait for as many seconds as "
        "Retry-After says, then go on more slowly, or ask the operator for more"
    )


def _detail(error: HTTPException) -> str:
    if isinstance(error, NotFound):
        root = request.script_root
        return (
            f"There is nothing at this address; POST {root}/v1/captions describes a photo, "
            f"POST {root}/v1/scores scores a sentence about one, {root}/docs lists the rest, "
            f"and the page is at {root}/."
        )
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return f"{request.method} is not allowed here; allowed: {allowed}."
    return error.description or error.name


def _problem(status: int, title: str, detail: str, kind: str = "about:blank") -> Response:
    answer = jsonify(
        type=kind, title=title, status=status, detail=detail, instance=outer_path(), request_id=request_id()
    )
    answer.status_code = status
    answer.mimetype = PROBLEM_JSON
    answer.headers["Cache-Control"] = "no-store"
    return answer


Translate = Callable[[Mapping[str, Any]], dict[str, Any]]


def translate_errors(blueprint: Blueprint, translate: Translate, folder: str) -> None:
    """Answer every error under an address in a system's own shape, with the native status and headers.

    That includes errors that no route gives: an address that is not there, a method that is not taken, a missing key.

    Args:
        blueprint: The system's routes.
        translate: Turns the native problem into what the system's clients expect.
        folder: What the addresses of the system begin with, such as ``/v2``.
    """

    def answer(response: Response) -> Response:
        mine = request.path == folder or request.path.startswith(f"{folder}/")
        if mine and response.mimetype == PROBLEM_JSON:
            response.set_data(current_app.json.dumps(translate(response.get_json())))
            response.mimetype = "application/json"
        return response

    blueprint.after_app_request(answer)
