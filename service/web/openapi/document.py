"""The document: every route with its parameters, bodies, answers and errors."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from service.settings import Settings
from service.web.heatmaps import DEFAULTS as DRAWING
from service.web.openapi.adapters import adapter_paths
from service.web.openapi.operations import JSON_MIME, MIME, get, json_answer, post, taken
from service.web.openapi.schemas import SCHEMAS, one
from service.web.parameters import CAPTIONS, CLIP_DEFAULTS, CLIPS, HEATMAPS, NUM_ANSWERS, QUESTIONS, SCORES

VERSION = "1.0.0"  # of the interface
NATIVE, HEALTH = "Captions", "Health"
TAGS = (NATIVE, HEALTH, "MAX", "Hugging Face", "Open Inference Protocol V2")
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
        "paths": _native_paths(settings) | _clip_paths(settings) | _health_paths() | adapter_paths(settings),
        "components": {"schemas": SCHEMAS},
    }
    if settings.api_keys is not None:
        document["components"]["securitySchemes"] = KEYS
        document["security"] = [{name: []} for name in KEYS]
    return document


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
