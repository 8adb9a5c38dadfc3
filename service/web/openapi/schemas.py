"""The named schemas: what is answered."""

from collections.abc import Mapping
from typing import Any

from service.web.kinds import Kind

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
TRUTH: Schema = {"type": "boolean"}
PHOTO_BYTES: Schema = {"type": "string", "format": "binary", "description": "the bytes of an image file"}
PHOTO_BASE64: Schema = {
    "type": "string",
    "contentEncoding": "base64",
    "format": "byte",
    "description": "the bytes of an image file as base64",
}


def one(name: str) -> Schema:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(item: Schema, **more: Any) -> Schema:
    """Return a list of something."""
    return {"type": "array", "items": item, **more}


def maybe(schema: Schema) -> Schema:
    """Return something, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def thing(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return an object with these fields and no others."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def only(word: str) -> Schema:
    """Return the one word that a text may be: as an enumeration, since generators of clients stumble over constants."""
    return {"type": "string", "enum": [word]}


def field(kind: Kind, default: Any = None) -> Schema:
    """Return the schema of a parameter.

    What holds without it stands there as ``x-default``. JSON Schema's ``default`` would be sent by the clients that are
    made from the document, in the query and in the body at once; and it means something else than to send nothing: a
    beam that is asked for does not widen to hold more captions.
    """
    schema = dict(kind.schema) | ({"description": kind.meaning} if kind.meaning else {})
    return schema if default is None else schema | {"x-default": default}


def fields(table: Mapping[str, Kind], defaults: Mapping[str, Any]) -> dict[str, Schema]:
    """Return the schemas of a table of parameters."""
    return {name: field(kind, defaults.get(name)) for name, kind in table.items()}


def query(table: Mapping[str, Kind], defaults: Mapping[str, Any]) -> list[Schema]:
    """Return a table of parameters as those of a query, where none must stand, since all may come in the body."""
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": kind.meaning,
            "schema": field(kind, defaults.get(name)),
        }
        for name, kind in table.items()
    ]


SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
TIMES = {"decode": NUMBER, "inference": NUMBER}
SAID = {"text": TEXT, "log_prob": NUMBER, "confidence": maybe(SHARE)}
WORD = {**SAID, "attention": maybe(many(NUMBER))}
ACTIVATIONS = {"type": "object", "additionalProperties": many(many(NUMBER))}
CACHED = {"type": "boolean", "description": "there, and true, if the answer was kept from an earlier request"}
RESULT = {"image": one("Image"), "captions": many(one("Caption")), "attention_grid": one("Grid")}


SHOT = {"start": NUMBER, "end": NUMBER, "frames": many(NUMBER), "caption": one("ShotCaption")}
CLIP = {"width": WHOLE, "height": WHOLE, "format": TEXT, "seconds": NUMBER, "frames": WHOLE}


def _caption(word: str) -> Schema:
    said = {
        **SAID,
        "finished": TRUTH,
        "needs_review": maybe(TRUTH),
        "words": many(one(word)),
    }
    return thing(said, {"activations": ACTIVATIONS})


def _tensor(data: Schema) -> Schema:
    return thing({"name": TEXT, "shape": many(WHOLE), "datatype": TEXT, "data": many(data)})


def _binary_tensor() -> Schema:
    return thing(
        {"name": TEXT, "shape": many(WHOLE), "datatype": TEXT, "parameters": thing({"binary_data_size": WHOLE})}
    )


NATIVE: dict[str, Schema] = {
    "Problem": thing(
        {"type": TEXT, "title": TEXT, "status": WHOLE, "detail": TEXT, "instance": TEXT, "request_id": TEXT}
    ),
    "PhotoProblem": thing({"type": TEXT, "title": TEXT, "status": WHOLE, "detail": TEXT}),
    "Model": thing({"name": TEXT, "version": TEXT}),
    "ModelCard": {
        "type": "object",
        "properties": {
            "name": TEXT,
            "version": TEXT,
            "sha256": maybe({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
            "vocabulary": WHOLE,
            "image": {"type": "object"},
            "encoder": {"type": "object"},
            "decoder": {"type": "object"},
            "provenance": {"type": "object"},
            "calibration": maybe({"type": "object"}),
        },
        "required": ["name", "version", "sha256"],
    },
    "Image": thing({"width": WHOLE, "height": WHOLE, "format": maybe(TEXT)}),
    "Grid": maybe(many(WHOLE, minItems=2, maxItems=2)),
    "Word": thing(WORD),
    "ScoredWord": thing({**WORD, "known": TRUTH}),
    "Caption": _caption("Word"),
    "Score": _caption("ScoredWord"),
    "Captions": thing(
        {"id": TEXT, "model": one("Model"), **RESULT, "timing_ms": thing({**TIMES, "total": NUMBER})},
        {"cached": CACHED},
    ),
    "Result": thing({**RESULT, "timing_ms": thing(TIMES)}, {"cached": CACHED}),
    "FailedPhoto": thing({"problem": one("PhotoProblem")}),
    "Results": thing(
        {
            "id": TEXT,
            "model": one("Model"),
            "results": many({"anyOf": [one("Result"), one("FailedPhoto")]}),
            "timing_ms": thing({"total": NUMBER}),
        }
    ),
    "Scored": thing(
        {
            "id": TEXT,
            "model": one("Model"),
            "image": one("Image"),
            "score": one("Score"),
            "attention_grid": one("Grid"),
            "timing_ms": thing({**TIMES, "total": NUMBER}),
        },
        {"cached": CACHED},
    ),
    "Answer": thing({"text": TEXT, "probability": SHARE}),
    "Answered": thing(
        {
            "id": TEXT,
            "model": one("Model"),
            "image": one("Image"),
            "question": TEXT,
            "answers": many(one("Answer")),
            "unknown_words": many(TEXT),
            "attention": maybe(many(NUMBER)),
            "attention_grid": one("Grid"),
            "timing_ms": thing({**TIMES, "total": NUMBER}),
        },
        {"cached": CACHED},
    ),
    "Correction": thing({"id": TEXT, "text": TEXT, "new": TRUTH}),
    "Corrected": thing({"id": TEXT, "correction": one("Correction")}),
    "ShotWord": thing({**SAID, "attention": maybe(many(many(NUMBER)))}),
    "ShotCaption": _caption("ShotWord"),
    "Shot": thing(SHOT),
    "Watched": thing(
        {
            "id": TEXT,
            "model": one("Model"),
            "clip": thing(CLIP),
            "shots": many(one("Shot")),
            "attention_grid": one("Grid"),
            "timing_ms": thing({**TIMES, "total": NUMBER}),
        }
    ),
    "Alive": {"type": "object", "properties": {"status": TEXT}, "required": ["status"]},
}
ADAPTERS: dict[str, Schema] = {
    "MaxError": thing({"status": only("error"), "message": TEXT}),
    "MaxPredictions": thing(
        {
            "status": only("ok"),
            "predictions": many(thing({"index": TEXT, "caption": TEXT, "probability": SHARE})),
        }
    ),
    "MaxMetadata": thing(dict.fromkeys(("id", "name", "description", "type", "source", "license"), TEXT)),
    "Error": thing({"error": TEXT}),
    "GeneratedTexts": many(thing({"generated_text": TEXT})),
    "V2Server": thing({"name": TEXT, "version": TEXT, "extensions": many(TEXT)}),
    "V2Live": thing({"live": TRUTH}),
    "V2Ready": thing({"ready": TRUTH}),
    "V2ModelReady": thing({"name": TEXT, "ready": TRUTH}),
    "V2Tensor": thing({"name": TEXT, "datatype": TEXT, "shape": many(WHOLE)}),
    "V2Model": thing(
        {
            "name": TEXT,
            "versions": many(TEXT),
            "platform": TEXT,
            "inputs": many(one("V2Tensor")),
            "outputs": many(one("V2Tensor")),
        }
    ),
    "V2Dimensions": thing({"name": TEXT, "data_type": TEXT, "dims": many(WHOLE)}),
    "V2Configuration": thing(
        {
            "name": TEXT,
            "platform": TEXT,
            "backend": TEXT,
            "max_batch_size": WHOLE,
            "input": many(one("V2Dimensions")),
            "output": many(one("V2Dimensions")),
        }
    ),
    "V2Index": many(thing(dict.fromkeys(("name", "version", "state", "reason"), TEXT))),
    "V2Answer": thing(
        {
            "model_name": TEXT,
            "model_version": TEXT,
            "outputs": many({"anyOf": [_tensor(TEXT), _tensor(NUMBER), _binary_tensor()]}),
        },
        {"id": TEXT},
    ),
}
SCHEMAS: dict[str, Schema] = NATIVE | ADAPTERS
