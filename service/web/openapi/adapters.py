"""The paths of the adapters."""

from dataclasses import asdict
from typing import Any

from service.settings import Settings
from service.web.adapters.hugging_face import PARAMETERS
from service.web.adapters.tensors import ALL_WANTED, HEADER, OCTETS, WANTED
from service.web.adapters.v2 import INPUT, OUTPUTS
from service.web.openapi.operations import JSON_MIME, REQUEST_ID, get, json_answer, post, raw_photo
from service.web.openapi.schemas import (
    PHOTO_BASE64,
    PHOTO_BYTES,
    TEXT,
    TRUTH,
    WHOLE,
    Schema,
    fields,
    many,
    one,
    only,
    thing,
)
from service.web.parameters import DECODING

MIXED: Schema = {
    "type": "string",
    "format": "binary",
    "description": "the JSON, whose tensors tell binary_data_size, and the bytes of these tensors after it",
}
JSON_LENGTH: Schema = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "how many bytes of the body are JSON, where binary data follows",
    "schema": {"type": "integer", "minimum": 0},
}
MAX, HUGGING_FACE, V2 = "MAX", "Hugging Face", "Open Inference Protocol V2"


def adapter_paths(settings: Settings) -> dict[str, Any]:
    """Return what other systems' clients call."""
    return _max_paths() | _hugging_face_paths() | _v2_paths(settings)


def _max_paths() -> dict[str, Any]:
    form = {"multipart/form-data": {"schema": thing({"image": PHOTO_BYTES})}, **raw_photo()}
    return {
        "/model/predict": post(
            "maxPredict",
            "Caption a photo as IBM's MAX does",
            "The three best captions.",
            MAX,
            parameters=[REQUEST_ID],
            body=form,
            ok=json_answer("The captions.", one("MaxPredictions")),
            problem="MaxError",
        ),
        "/model/metadata": get(
            "maxMetadata",
            "The model",
            "",
            MAX,
            {"200": json_answer("The model.", one("MaxMetadata"))},
            problem="MaxError",
        ),
    }


def _hugging_face_paths() -> dict[str, Any]:
    options = fields(PARAMETERS, {})
    parameters = thing(
        {}, {**options, "generation_parameters": thing({}, options), "generate_kwargs": thing({}, options)}
    )
    body = {JSON_MIME: {"schema": thing({"inputs": PHOTO_BASE64}, {"parameters": parameters})}, **raw_photo()}
    return {
        "/hf": post(
            "huggingFace",
            "Caption a photo as Hugging Face's image-to-text does",
            "Raw bytes, or base64 in JSON with parameters.",
            HUGGING_FACE,
            parameters=[REQUEST_ID],
            body=body,
            ok=json_answer("The captions.", one("GeneratedTexts")),
            problem="Error",
        )
    }


def _v2_paths(settings: Settings) -> dict[str, Any]:
    ready, live = json_answer("Yes.", one("V2Ready")), json_answer("Yes.", one("V2Live"))
    name, version = _in_path("name"), _in_path("version")
    return {
        "/v2": get(
            "v2Server", "The server", "", V2, {"200": json_answer("The server.", one("V2Server"))}, problem="Error"
        ),
        "/v2/repository/index": _v2_index(),
        "/v2/health/live": get("v2Live", "Whether the process lives", "", V2, {"200": live}, is_open=True),
        "/v2/health/ready": get(
            "v2Ready", "Whether photos can be captioned", "", V2, {"200": ready, "503": ready}, is_open=True
        ),
        **_v2_model_paths("/v2/models/{name}", "", [name], settings),
        **_v2_model_paths("/v2/models/{name}/versions/{version}", "Version", [name, version], settings),
    }


def _v2_model_paths(path: str, suffix: str, parameters: list[Schema], settings: Settings) -> dict[str, Any]:
    unknown = {"404": json_answer("No such model.", one("Error"))}
    ready = json_answer("Yes.", one("V2ModelReady"))
    model = {"200": json_answer("The model.", one("V2Model")), **unknown}
    configuration = {"200": json_answer("The configuration.", one("V2Configuration")), **unknown}
    paths = {
        path: get(f"v2Model{suffix}", "The model", "", V2, model, problem="Error"),
        f"{path}/config": get(
            f"v2ModelConfiguration{suffix}",
            "The model, as Triton configures one",
            "",
            V2,
            configuration,
            problem="Error",
        ),
        f"{path}/ready": get(
            f"v2ModelReady{suffix}",
            "Whether the model can caption photos",
            "",
            V2,
            {"200": ready, "503": json_answer("No.", one("V2ModelReady")), **unknown},
            problem="Error",
        ),
        f"{path}/infer": post(
            f"v2Infer{suffix}",
            "Caption photos",
            "One tensor of photos, in base64 or as binary data; options of POST /v1/captions as parameters.",
            V2,
            body={JSON_MIME: {"schema": _v2_request(settings)}, OCTETS: {"schema": MIXED}},
            parameters=[JSON_LENGTH],
            ok={
                "description": "The captions.",
                "headers": {HEADER: {"description": JSON_LENGTH["description"], "schema": WHOLE}},
                "content": {JSON_MIME: {"schema": one("V2Answer")}, OCTETS: {"schema": MIXED}},
            },
            problem="Error",
        ),
    }
    paths[f"{path}/infer"]["post"]["responses"] |= unknown
    return {address: {"parameters": parameters, **operations} for address, operations in paths.items()}


def _v2_index() -> dict[str, Any]:
    body = {JSON_MIME: {"schema": thing({}, {"ready": {**TRUTH, "description": "only a model that answers"}})}}
    path = post(
        "v2Models",
        "The one model, and whether it answers",
        "The body may be left out.",
        V2,
        body=body,
        ok=json_answer("The models.", one("V2Index")),
        problem="Error",
    )
    path["post"]["requestBody"]["required"] = False
    return path


def _v2_request(settings: Settings) -> Schema:
    tensor = thing(
        {
            "name": only(INPUT),
            "shape": many({"type": "integer", "minimum": 1}, minItems=1, maxItems=2),
            "datatype": only("BYTES"),
            "data": many(PHOTO_BASE64, minItems=1, maxItems=settings.max_images),
        },
        {"parameters": thing({}, {"content_type": only("base64")})},
    )
    output = thing({"name": {"type": "string", "enum": list(OUTPUTS)}}, {"parameters": thing({}, {WANTED: TRUTH})})
    optional = {
        "id": TEXT,
        "parameters": thing({}, {**fields(DECODING, asdict(settings.options())), ALL_WANTED: TRUTH}),
        "outputs": many(output),
    }
    return thing({"inputs": many(tensor, minItems=1, maxItems=1)}, optional)


def _in_path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}
