"""Operations: a summary, parameters, a body, the answer, and the errors that any of them may give."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.web.kinds import Kind
from service.web.openapi.schemas import PHOTO_BASE64, PHOTO_BYTES, Schema, fields, many, one, query, thing

JSON_MIME, MIME = "application/json", "application/problem+json"
ERRORS: Mapping[int, str] = {
    400: "There is no photo, too many, or a body that cannot be read.",
    413: "Too many bytes or pixels.",
    415: "Not an image of a supported format, or a body compressed in a way that is not read.",
    422: "An image that cannot be decoded, or an option that does not fit.",
    503: "Busy, loading or closing; Retry-After says when to come again.",
    504: "The time for the request is over.",
}
FULL = {507: "As many corrections are kept as the operator allows."}
UNKNOWN = {404: "There is no such correction.", 503: "Busy; Retry-After says when to come again."}
ANYWHERE: Mapping[int, str] = {
    401: "An API key is missing or unknown, where the operator asks for one.",
    429: "More requests than the operator allows; Retry-After says when to come again.",
    500: "A mistake of ours.",
}
REQUEST_ID: Schema = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "up to 64 letters, digits, `.`, `_`, `:` and `-`, by which the answer and the log name the request",
    "schema": {"type": "string"},
}
SITES = "fetched from one of the hosts that the operator lists, instead of image"


def get(
    name: str,
    summary: str,
    description: str,
    tag: str,
    answers: Mapping[str, Schema],
    *,
    is_open: bool = False,
    problem: str = "Problem",
) -> Schema:
    """Return a path with GET; see :func:`post`."""
    responses = dict(answers) | ({} if is_open else errors(ANYWHERE, problem))
    operation = {"operationId": name, "summary": summary, "tags": [tag], "responses": responses}
    operation |= {"description": description} if description else {}
    operation |= {"security": []} if is_open else {}
    return {"get": operation}


def post(
    name: str,
    summary: str,
    description: str,
    tag: str,
    *,
    body: Schema,
    ok: Schema,
    parameters: Sequence[Schema] = (),
    problem: str = "Problem",
) -> Schema:
    """Return a path with POST.

    Args:
        name: The operation's id.
        summary: A few words.
        description: A sentence.
        tag: The group it stands in.
        body: The request's body.
        ok: The answer.
        parameters: Those of the query.
        problem: The schema of errors, which are problem+json or else of an adapter's own shape.
    """
    operation = {
        "operationId": name,
        "summary": summary,
        "description": description,
        "tags": [tag],
        "parameters": list(parameters),
        "requestBody": {"required": True, "content": body},
        "responses": {"200": ok, **errors({**ERRORS, **ANYWHERE}, problem)},
    }
    return {"post": operation}


def delete(name: str, summary: str, description: str, tag: str, parameter: str) -> Schema:
    """Return a path with DELETE, whose last part is a parameter; see :func:`post`."""
    operation = {
        "operationId": name,
        "summary": summary,
        "description": description,
        "tags": [tag],
        "parameters": [{"name": parameter, "in": "path", "required": True, "schema": {"type": "string"}}],
        "responses": {"204": {"description": "It is gone."}, **errors({**UNKNOWN, **ANYWHERE}, "Problem")},
    }
    return {"delete": operation}


def errors(statuses: Mapping[int, str], problem: str) -> Schema:
    """Return the answers of errors."""
    content = {MIME if problem == "Problem" else JSON_MIME: {"schema": one(problem)}}
    return {str(status): {"description": text, "content": content} for status, text in sorted(statuses.items())}


def json_answer(description: str, schema: Schema) -> Schema:
    """Return an answer in JSON."""
    return {"description": description, "content": {JSON_MIME: {"schema": schema}}}


def taken(table: Mapping[str, Kind], defaults: Mapping[str, Any], most: int = 1) -> dict[str, Any]:
    """Return what an operation takes: a table of options in the query, and a photo in three ways, options beside it.

    The photo comes in a form, in JSON, or is the body itself.
    """
    options = fields(table, defaults)
    files = many(PHOTO_BYTES, minItems=1, maxItems=most) if most > 1 else PHOTO_BYTES
    url = {"type": "string", "format": "uri", "description": SITES}
    body = {
        "multipart/form-data": {"schema": thing({"image": files}, options)},
        JSON_MIME: {"schema": {"anyOf": [thing({"image": PHOTO_BASE64}, options), thing({"url": url}, options)]}},
        **raw_photo(),
    }
    return {"parameters": query(table, defaults), "body": body}


def raw_photo() -> Schema:
    """Return the photo as the body itself."""
    return {"application/octet-stream": {"schema": PHOTO_BYTES}}
