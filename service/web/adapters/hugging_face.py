"""Hugging Face's image-to-text task: ``POST /hf`` with raw bytes, or with base64 in JSON."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, jsonify, request

from captioner.errors import OptionError
from service.errors import BadUploadError, translate_errors
from service.inference.jobs import Captioning
from service.inference.pipeline import CaptionPipeline
from service.settings import Settings
from service.web.kinds import Kind, truth
from service.web.parameters import DECODING, Allowance, allowed_options, read_values
from service.web.requests import JSON, JsonValue, decode_base64, read_json, read_upload
from service.web.responses import never_store

# Hugging Face's names for the parameters of DECODING.
NAMES: Mapping[str, str] = {
    "max_new_tokens": "max_length",
    "max_length": "max_length",
    "min_new_tokens": "min_length",
    "min_length": "min_length",
    "num_beams": "beam_size",
    "num_beam_groups": "groups",
    "diversity_penalty": "diversity",
    "num_return_sequences": "num_captions",
    "no_repeat_ngram_size": "no_repeat_ngram_size",
    "length_penalty": "length_penalty",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
}
PARAMETERS: Mapping[str, Kind] = {
    "do_sample": truth("draw captions by chance instead of looking for the best"),
    **{name: replace(DECODING[ours], meaning=f"`{ours}` of POST /v1/captions") for name, ours in NAMES.items()},
}
NESTED = ("generation_parameters", "generate_kwargs")  # both have been in use


def create_hugging_face(pipeline: CaptionPipeline, settings: Settings) -> Blueprint:
    """Return the route, bound to a model."""
    adapter = Blueprint("hugging_face", __name__)
    allowance = Allowance(settings.options(), settings.max_words)

    @adapter.post("/hf")
    def image_to_text() -> Response:
        photo, parameters = _read()
        options = allowed_options(decoding_values(parameters), allowance)
        captions = pipeline.caption(photo, Captioning(options)).captions
        return jsonify([{"generated_text": caption.text} for caption in captions])

    translate_errors(adapter, lambda problem: {"error": problem["detail"]}, "/hf")
    never_store(adapter)
    return adapter


def _read() -> tuple[bytes, Any]:
    if request.mimetype != JSON:
        upload = read_upload(request)
        if upload.fields:
            raise OptionError('parameters come in JSON here: {"inputs": "<base64>", "parameters": {...}}')
        return upload.photos[0], {}
    values = read_json(request)
    unknown = sorted(set(values) - {"inputs", "parameters"})
    if unknown:
        raise BadUploadError(f"{unknown[0]!r:.40} is not known; the JSON may have inputs and parameters")
    return decode_base64(values.get("inputs"), "inputs"), values.get("parameters") or {}


def decoding_values(parameters: Any) -> dict[str, Any]:
    """Return Hugging Face's parameters as those of POST /v1/captions.

    Raises:
        OptionError: If one is unknown, out of range, or given under two names.
    """
    flat = _flatten(parameters)
    values = read_values({name: [JsonValue(value)] for name, value in flat.items()}, PARAMETERS)
    found = {"search": "sample"} if values.pop("do_sample", False) else {}
    for name, value in values.items():
        if NAMES[name] in found:
            raise OptionError(f"{name} says the same as another parameter that is given; give one of them")
        found[NAMES[name]] = value
    return found


def _flatten(parameters: Any) -> dict[str, Any]:
    """Return the parameters, those of generation lifted beside the others, those that say nothing left out."""
    flat: dict[str, Any] = {}
    for name, value in _object(parameters, "parameters").items():
        inner = _object(value, name) if name in NESTED and value is not None else {name: value}
        for key, given in inner.items():
            if key in flat:
                raise OptionError(f"{key!r:.40} is given 2 times; give it once")
            flat[key] = given
    return {name: value for name, value in flat.items() if value is not None}


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise OptionError(f"{name} must be a JSON object")
    return value
