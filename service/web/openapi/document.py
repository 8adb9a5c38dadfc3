"""The document: every route with its parameters, bodies, answers and errors."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from service.settings import Settings
from service.web.heatmaps import DEFAULTS as DRAWING
from service.web.openapi import language_models
from service.web.openapi.adapters import adapter_paths
from service.web.openapi.language_models import language_model_paths
from service.web.openapi.operations import FULL, JSON_MIME, MIME, delete, errors, get, json_answer, post, taken
from service.web.openapi.photos import TAG as PHOTOS
from service.web.openapi.photos import photo_paths
from service.web.openapi.schemas import SCHEMAS, one
from service.web.parameters import CAPTIONS, CLIP_DEFAULTS, CLIPS, CORRECTIONS, HEATMAPS, NUM_ANSWERS, QUESTIONS, SCORES

VERSION = "1.0.0"  # of the interface
NATIVE, HEALTH = "Captions", "Health"
TAGS = (NATIVE, HEALTH, "MAX", "Hugging Face", "Open Inference Protocol V2", *language_models.TAGS)
KEYS: Mapping[str, Mapping[str, str]] = {
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
PNG = {"image/png": {"schema": {"type": "string", "format": "binary"}}}


def create_document(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a service that runs with these settings."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Captioner",
            "version": VERSION,
            "description": "Describes photos, and tells where it looked for each word.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": servers(""),
        "security": [],
        "tags": [{"name": name} for name in TAGS],
        "paths": _paths(settings),
        "components": {"schemas": SCHEMAS | language_models.SCHEMAS},
    }
    if settings.photo_index is not None:
        document["tags"].append({"name": PHOTOS})
        document["paths"] |= photo_paths()
    if settings.api_keys is not None:
        document["components"]["securitySchemes"] = KEYS
        document["security"] = [{name: []} for name in KEYS]
    return document


def _paths(settings: Settings) -> dict[str, Any]:
    corrections = {} if settings.corrections is None else _correction_paths()
    native = _native_paths(settings) | _clip_paths(settings) | corrections | _health_paths()
    return native | adapter_paths(settings) | language_model_paths(settings)


def servers(prefix: str) -> list[dict[str, str]]:
    """Return where the paths of the document begin, by the path below which the service is shown."""
    return [{"url": prefix or "/"}]


def _native_paths(settings: Settings) -> dict[str, Any]:
    defaults = asdict(settings.options()) | {"activations": False}
    either = {"anyOf": [one("Captions"), one("Results")]}
    return {
        "/v1/captions": post(
            "caption",
            "Describe photos",
            "Of one photo it answers its captions; of several, in a form, the result or the problem of each, in order.",
            NATIVE,
            **taken(CAPTIONS, defaults, settings.max_images),
            ok=json_answer("The captions.", either),
        ),
        "/v1/scores": post(
            "score",
            "Score a sentence about a photo",
            "How likely the model finds a text as the caption of a photo. The text stands in the query or in the body.",
            NATIVE,
            **taken(SCORES, {"activations": False}),
            ok=json_answer("The score.", one("Scored")),
        ),
        "/v1/answers": post(
            "ask",
            "Answer a question about a photo",
            "What or who something is, how many there are, what color it has, or where it is. "
            "The question stands in the query or in the body.",
            NATIVE,
            **taken(QUESTIONS, {"num_answers": NUM_ANSWERS}),
            ok=json_answer("The answers.", one("Answered")),
        ),
        "/v1/heatmaps": post(
            "draw",
            "Draw where the model looked",
            "The photo under the attention of one word, or a sheet of all words.",
            NATIVE,
            **taken(HEATMAPS, {**defaults, **DRAWING}),
            ok={"description": "The picture.", "content": PNG},
        ),
        "/v1/model": get(
            "describeModel",
            "The model",
            "What the model is. An If-None-Match with its ETag is answered 304.",
            NATIVE,
            {
                "200": json_answer("The model.", one("ModelCard")),
                "304": {"description": "It is still the same."},
            },
        ),
    }


def _correction_paths() -> dict[str, Any]:
    keep = post(
        "correct",
        "Correct a caption",
        "Keeps the photo, made smaller, and the sentence that describes it, for a model to learn from. "
        "What is there already is kept once.",
        NATIVE,
        **taken(CORRECTIONS, {}),
        ok=json_answer("What is kept.", one("Corrected")),
    )
    keep["post"]["responses"] |= errors(FULL, "Problem")
    return {
        "/v1/corrections": keep,
        "/v1/corrections/{correction}": delete(
            "deleteCorrection",
            "Delete a correction",
            "Forgets the sentence, and the photo if no other correction is of it.",
            NATIVE,
            "correction",
        ),
    }


def _clip_paths(settings: Settings) -> dict[str, Any]:
    defaults = {name: value for name, value in asdict(settings.options()).items() if name in CLIPS}
    answer = json_answer("The captions of the shots.", one("Watched"))
    answer["content"]["text/vtt"] = {"schema": {"type": "string"}}
    watch = post(
        "watch",
        "Describe a moving picture",
        "The caption of each shot of an animated GIF, WebP or PNG, or of an MP4 or WebM where the service has PyAV. "
        "The clip comes as a photo does.",
        NATIVE,
        **taken(CLIPS, {**defaults, **CLIP_DEFAULTS}),
        ok=answer,
    )
    return {"/v1/clips": watch}


def _health_paths() -> dict[str, Any]:
    alive = json_answer("Yes.", one("Alive"))
    unready = {"description": "Not yet, or no longer.", "content": {mime: {} for mime in (JSON_MIME, MIME)}}
    return {
        "/livez": get("live", "Whether the process lives", "", HEALTH, {"200": alive}, is_open=True),
        "/readyz": get(
            "ready", "Whether photos can be captioned", "", HEALTH, {"200": alive, "503": unready}, is_open=True
        ),
    }
