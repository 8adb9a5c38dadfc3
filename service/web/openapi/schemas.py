"""The named schemas: what is answered."""

from service.web.openapi.shapes import NUMBER, TEXT, TRUTH, WHOLE, Schema, many, maybe, one, only, thing

SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
TIMES = {"decode": NUMBER, "inference": NUMBER}
SAID = {"text": TEXT, "log_prob": NUMBER, "confidence": maybe(SHARE)}
WORD = {**SAID, "attention": maybe(many(NUMBER))}
ACTIVATIONS = {"type": "object", "additionalProperties": many(many(NUMBER))}
CACHED = {"type": "boolean", "description": "there, and true, if the answer was kept from an earlier request"}
RESULT = {"image": one("Image"), "captions": many(one("Caption")), "attention_grid": one("Grid")}


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
