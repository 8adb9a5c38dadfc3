"""OpenAI's API: chat completions, responses, and the list of the one model."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, jsonify

from service.errors import UnknownModelError, translate_errors
from service.inference.engine import Engine
from service.inference.pipeline import CaptionPipeline
from service.settings import Settings
from service.web.adapters.openai.chat_completions import add_chat_completions
from service.web.adapters.openai.responses import add_responses
from service.web.adapters.prompting import file_size_and_time
from service.web.fetching import Fetcher
from service.web.responses import never_store

__all__ = ["create_openai"]

FOLDERS = ("/v1/chat", "/v1/responses", "/v1/models")
TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
}  # all others: the request's, ours
CODES = {"unauthorized": "invalid_api_key", "unknown_model": "model_not_found", "rate_limited": "rate_limit_exceeded"}


def create_openai(pipeline: CaptionPipeline, engine: Engine, fetcher: Fetcher, settings: Settings) -> Blueprint:
    """Return the routes, bound to a model."""
    adapter = Blueprint("openai", __name__)
    add_chat_completions(adapter, pipeline, fetcher, settings)
    add_responses(adapter, pipeline, fetcher, settings)
    _add_models(adapter, engine, settings)
    for folder in FOLDERS:
        translate_errors(adapter, _error, folder)
    never_store(adapter)
    return adapter


def _add_models(adapter: Blueprint, engine: Engine, settings: Settings) -> None:
    """Add what tells of the model."""

    @adapter.get("/v1/models")
    def list_models() -> Response:
        return jsonify(object="list", data=[_entry(engine.model.name, settings)])

    @adapter.get("/v1/models/<name>")
    def retrieve_model(name: str) -> Response:
        if name != engine.model.name:
            raise UnknownModelError(f"the model {name!r:.100} does not exist; there is only {engine.model.name!r}")
        return jsonify(_entry(name, settings))


def _entry(name: str, settings: Settings) -> dict[str, Any]:
    created = int(file_size_and_time(settings)[1])
    return {"id": name, "object": "model", "created": created, "owned_by": "captioner"}


def _error(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Return the API's error; its code is the problem's type, which is empty for errors of HTTP itself."""
    status, kind = problem["status"], problem["type"]
    slug = kind.rpartition(":")[2] if kind != "about:blank" else problem["title"]
    code = slug.lower().replace("-", "_").replace(" ", "_")
    mine = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": problem["detail"],
            "type": "requests" if status == 429 else mine,
            "param": None,
            "code": CODES.get(code, code),
        }
    }
