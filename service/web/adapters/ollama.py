"""Ollama's API: ``/api/generate`` and ``/api/chat``, and what tells of the one model."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from captioner.errors import OptionError
from service.errors import BadUploadError, UnknownModelError, translate_errors
from service.inference.engine import Engine
from service.inference.jobs import Model, ModelIdentity
from service.inference.pipeline import CaptionPipeline
from service.settings import Settings
from service.web.adapters.max import licence_of
from service.web.adapters.prompting import (
    FEWER,
    MIN_INTEGER,
    SEED,
    TEMPERATURE,
    TOP_P,
    Answer,
    Prompt,
    answer_prompt,
    check_number,
    file_size_and_time,
    joined,
    latest,
    objects,
    read_options,
    read_truth,
)
from service.web.kinds import Kind, whole_number
from service.web.parameters import Allowance
from service.web.requests import decode_base64, read_json
from service.web.responses import never_store, own_version

NDJSON = "application/x-ndjson"
OPTIONS: Mapping[str, Kind] = {
    "temperature": TEMPERATURE,
    "top_k": whole_number(MIN_INTEGER, 1_000_000, "of a draw: from so many likeliest words; 0 and below is from all"),
    "top_p": TOP_P,
    "seed": SEED,
    "num_predict": whole_number(MIN_INTEGER, 2**63 - 1, f"{FEWER}; 0 and below is no limit of the request"),
}
DETAILS = {  # what Ollama tells of every model
    "parent_model": "",
    "format": "safetensors",
    "family": "captioner",
    "families": ["captioner"],
    "parameter_size": "",
    "quantization_level": "",
}
NEVER = "9999-12-31T23:59:59Z"  # when the model is taken out of memory
TOLD = ("vocabulary", "image", "encoder", "decoder")  # of the model's details, to /api/show
NANOSECONDS = 1_000_000_000
Wrap = Callable[[str], dict[str, Any]]


def create_ollama(pipeline: CaptionPipeline, engine: Engine, settings: Settings) -> Blueprint:
    """Return the routes, bound to a model."""
    adapter = Blueprint("ollama", __name__)
    allowance = Allowance(settings.options(), settings.max_words)

    def respond(values: Mapping[str, Any], prompt: Prompt, wrap: Wrap, start: float) -> Response:
        check_number(prompt.photos, settings)
        stream = read_truth(values, "stream", default=True)
        given = read_options(_options(values), OPTIONS)
        answer = answer_prompt(pipeline, prompt, given, allowance, ["num_predict"])
        return _stream(answer, wrap, start) if stream else _whole(answer, wrap, start)

    @adapter.post("/api/generate")
    def generate() -> Response:
        start, values = time.perf_counter(), read_json(request)
        prompt = Prompt(joined([values.get("prompt")]), _images(values))
        if not prompt.photos and not prompt.text:  # so models are loaded and unloaded, which this one never needs
            return _loaded(engine.model, _wrap_text)
        return respond(values, prompt, _wrap_text, start)

    @adapter.post("/api/chat")
    def chat() -> Response:
        start, values = time.perf_counter(), read_json(request)
        messages = objects(values.get("messages"), "messages")
        if not messages:
            return _loaded(engine.model, _wrap_message)
        text = joined([message.get("content") for message in messages if message.get("role") == "user"][-1:])
        prompt = Prompt(text, latest([_images(message) for message in messages]))
        return respond(values, prompt, _wrap_message, start)

    _add_models(adapter, engine, settings)
    translate_errors(adapter, lambda problem: {"error": problem["detail"]}, "/api")
    never_store(adapter)
    return adapter


def _add_models(adapter: Blueprint, engine: Engine, settings: Settings) -> None:
    """Add what tells of the model."""

    @adapter.get("/api/tags")
    def list_models() -> Response:
        return jsonify(models=[_entry(engine.model, settings)])

    @adapter.get("/api/ps")
    def list_loaded() -> Response:
        return jsonify(models=[{**_entry(engine.model, settings), "expires_at": NEVER, "size_vram": 0}])

    @adapter.post("/api/show")
    def show() -> Response:
        values = read_json(request)
        model = _check_model(engine.model, values.get("model") or values.get("name"))
        return jsonify(_description(model, settings))

    @adapter.get("/api/version")
    def tell_version() -> Response:
        return jsonify(version=own_version("0.0.0"))  # clients compare its numbers


def _wrap_text(text: str) -> dict[str, Any]:
    return {"response": text}


def _wrap_message(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}}


def _images(values: Mapping[str, Any]) -> list[bytes]:
    images = values.get("images")
    if images is None:
        return []
    if not isinstance(images, list):
        raise BadUploadError("images must be a list of texts: the bytes of each image as base64")
    return [decode_base64(image, "images") for image in images]


def _options(values: Mapping[str, Any]) -> Mapping[str, Any]:
    options = values.get("options")
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise OptionError("options must be a JSON object")
    return options


def _name(model: Model | ModelIdentity) -> str:
    return f"{model.name}:{model.version}"


def _check_model(model: Model, name: object) -> Model:
    if name not in (model.name, _name(model), f"{model.name}:latest"):
        raise UnknownModelError(f"model {name!r:.40} not found; there is only {_name(model)!r}")
    return model


def _entry(model: Model, settings: Settings) -> dict[str, Any]:
    size, written = file_size_and_time(settings)
    return {
        "name": _name(model),
        "model": _name(model),
        "modified_at": _time(written),
        "size": size,
        "digest": model.sha256,
        "details": DETAILS,
    }


def _description(model: Model, settings: Settings) -> dict[str, Any]:
    details = {f"captioner.{name}": model.details[name] for name in TOLD if name in model.details}
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "license": licence_of(model),
        "details": DETAILS,
        "model_info": {"general.architecture": "captioner", "general.name": model.name, **details},
        "capabilities": ["completion", "vision"],
        "modified_at": _time(file_size_and_time(settings)[1]),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _loaded(model: Model, wrap: Wrap) -> Response:
    return jsonify(_part(model, wrap(""), done=True, done_reason="load"))


def _part(model: Model | ModelIdentity, body: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    return {"model": _name(model), "created_at": _time(time.time()), **body, **rest}


def _end(answer: Answer, start: float) -> dict[str, Any]:
    """Return what stands at the end of an answer; no model reads the prompt, so that none of it is counted."""
    [choice] = answer.choices
    return {
        "done": True,
        "done_reason": "stop" if choice.finished else "length",
        "total_duration": round((time.perf_counter() - start) * NANOSECONDS),
        "load_duration": 0,
        "prompt_eval_count": 0,
        "prompt_eval_duration": round(answer.seconds.decode * NANOSECONDS),
        "eval_count": choice.tokens,
        "eval_duration": round(answer.seconds.inference * NANOSECONDS),
    }


def _whole(answer: Answer, wrap: Wrap, start: float) -> Response:
    [choice] = answer.choices
    return jsonify(_part(answer.model, wrap(choice.text), **_end(answer, start)))


def _stream(answer: Answer, wrap: Wrap, start: float) -> Response:
    """Answer word by word; they are sent as fast as they can be, since a search finds them all at once."""
    return Response(_lines(list(_parts(answer, wrap, start))), mimetype=NDJSON)


def _parts(answer: Answer, wrap: Wrap, start: float) -> Iterator[dict[str, Any]]:
    [choice] = answer.choices
    for piece in choice.pieces:
        yield _part(answer.model, wrap(piece), done=False)
    yield _part(answer.model, wrap(""), **_end(answer, start))


def _lines(parts: Sequence[Mapping[str, Any]]) -> list[bytes]:
    return [f"{current_app.json.dumps(part)}\n".encode() for part in parts]
