"""The Open Inference Protocol, version 2, over HTTP: what KServe, Triton and MLServer speak."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, jsonify, request

from captioner.types import Caption
from service.errors import (
    BadUploadError,
    NotReadyError,
    StuckError,
    TemporaryError,
    UnknownModelError,
    translate_errors,
)
from service.inference.engine import Engine
from service.inference.jobs import Captioning, Model, ModelIdentity, Result
from service.inference.pipeline import CaptionPipeline
from service.settings import Settings
from service.web.adapters.tensors import (
    ALL_WANTED,
    SIZE,
    answer_tensors,
    binary_outputs,
    check_size,
    read_message,
    unpack_texts,
)
from service.web.parameters import DECODING, Allowance, allowed_options, read_values
from service.web.requests import JsonValue, decode_base64, parse_json, read_body
from service.web.responses import never_store, own_version

INPUT = "image"
OUTPUTS: dict[str, tuple[str, Callable[[Caption], Any]]] = {  # name -> data type, and its value for a caption
    "caption": ("BYTES", lambda caption: caption.text),
    "log_prob": ("FP32", lambda caption: float(caption.log_prob)),
    "probability": ("FP32", lambda caption: math.exp(min(0.0, caption.log_prob))),
}
TYPES = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32"}  # the protocol's data types in a model's configuration
EXTENSIONS = ("binary_tensor_data", "model_configuration")
PLATFORM = "captioner_pytorch"
PATHS = ("/v2/models/<name>", "/v2/models/<name>/versions/<version>")


def create_v2(pipeline: CaptionPipeline, engine: Engine, settings: Settings) -> Blueprint:
    """Return the routes, bound to a model."""
    adapter = Blueprint("v2", __name__)
    allowance = Allowance(settings.options(), settings.max_words)

    @adapter.get("/v2")
    def tell_server() -> Response:
        return jsonify(name="captioner", version=own_version(), extensions=list(EXTENSIONS))

    @adapter.get("/v2/health/live")
    def tell_live() -> Response:
        engine.check_alive()
        return jsonify(live=True)

    @adapter.get("/v2/health/ready")
    def tell_ready() -> tuple[Response, int]:
        ready = engine.is_ready
        return jsonify(ready=ready), _status(ready)

    def tell_model(name: str, version: str | None = None) -> Response:
        model = _check_model(engine, name, version)
        return jsonify(
            name=model.name,
            versions=[model.version],
            platform=PLATFORM,
            inputs=[{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
            outputs=[{"name": output, "datatype": kind, "shape": [-1]} for output, (kind, _) in OUTPUTS.items()],
        )

    def tell_model_ready(name: str, version: str | None = None) -> tuple[Response, int]:
        model, ready = _check_model(engine, name, version), engine.is_ready
        return jsonify(name=model.name, ready=ready), _status(ready)

    def infer(name: str, version: str | None = None) -> Response:
        _check_model(engine, name, version)
        values, binary = _read_body()
        photos, wanted = _read_photos(values, binary, settings.max_images), _read_outputs(values)
        packed = binary_outputs(values, _object(values, "parameters"), wanted)
        options = allowed_options(_read_parameters(values), allowance, len(photos))
        model, results = pipeline.caption_each(photos, Captioning(options))
        return answer_tensors(_answer(model, values, [_done(result) for result in results], wanted), packed)

    for path in PATHS:
        adapter.get(path)(tell_model)
        adapter.get(f"{path}/ready")(tell_model_ready)
        adapter.post(f"{path}/infer")(infer)
    _add_triton(adapter, engine)
    translate_errors(adapter, _error, "/v2")
    never_store(adapter)
    return adapter


def _add_triton(adapter: Blueprint, engine: Engine) -> None:
    """Add what Triton has besides the protocol, and its client asks for."""

    def tell_configuration(name: str, version: str | None = None) -> Response:
        _check_model(engine, name, version)
        return jsonify(_configuration(name))

    @adapter.post("/v2/repository/index")
    def list_models() -> Response:
        return jsonify(_index(engine, _wants_ready()))

    for path in PATHS:
        adapter.get(f"{path}/config")(tell_configuration)


def _error(problem: Mapping[str, Any]) -> dict[str, str]:
    """Return the protocol's error; of an address that is not there it says what of Triton's extensions is."""
    if problem["status"] == 404 and request.url_rule is None:
        return {
            "error": f"there is nothing at {request.path!r:.100}; of the protocol's extensions this server has "
            f"{' and '.join(EXTENSIONS)}, and it lists its one model at POST /v2/repository/index. Models are loaded, "
            "exchanged and unloaded by its operator alone, and not over HTTP."
        }
    return {"error": problem["detail"]}


def _configuration(name: str) -> dict[str, Any]:
    """Return the model's configuration as Triton writes it; without batching, a shape is that of the whole tensor."""
    tensors = {output: kind for output, (kind, _) in OUTPUTS.items()}
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": "captioner",
        "max_batch_size": 0,
        "input": [{"name": INPUT, "data_type": TYPES["BYTES"], "dims": [-1]}],
        "output": [{"name": output, "data_type": TYPES[kind], "dims": [-1]} for output, kind in tensors.items()],
    }


def _wants_ready() -> bool:
    """Return whether the list of models shall have only those that answer; the body may be left out."""
    data = read_body(request)
    values = parse_json(data) if data else {}
    ready = values.get("ready", False)
    if set(values) - {"ready"} or not isinstance(ready, bool):
        raise BadUploadError('the body may be empty, or {"ready": true}')
    return ready


def _index(engine: Engine, only_ready: bool) -> list[dict[str, str]]:
    try:
        model = engine.model
    except NotReadyError:
        return []
    try:
        engine.check_ready()
    except (TemporaryError, StuckError) as error:
        state, reason = "UNAVAILABLE", str(error)
    else:
        state, reason = "READY", ""
    if only_ready and reason:
        return []
    return [{"name": model.name, "version": model.version, "state": state, "reason": reason}]


def _status(ready: bool) -> int:
    """Return the status of readiness, that of GET /readyz."""
    return 200 if ready else 503


def _check_model(engine: Engine, name: str, version: str | None) -> Model:
    model = engine.model
    if name != model.name or version not in (None, model.version):
        raise UnknownModelError(f"there is only the model {model.name!r}, version {model.version!r}")
    return model


def _read_body() -> tuple[dict[str, Any], memoryview | None]:
    values, binary = read_message(request)
    unknown = sorted(set(values) - {"id", "parameters", "inputs", "outputs"})
    if unknown or not isinstance(values.get("id", ""), str):
        what = "id must be a text" if not unknown else f"{unknown[0]!r:.40} is not part of the protocol"
        raise BadUploadError(what)
    return values, binary


def _read_photos(values: dict[str, Any], binary: memoryview | None, most: int) -> list[bytes]:
    inputs = values.get("inputs")
    if not (isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict)):
        raise BadUploadError(f"inputs must be a list of one tensor, named {INPUT!r}")
    [tensor] = inputs
    if tensor.get("name") != INPUT or tensor.get("datatype") != "BYTES":
        raise BadUploadError(f"the input must have the name {INPUT!r} and the datatype 'BYTES'")
    parameters = _object(tensor, "parameters")
    if set(parameters) - {"content_type", SIZE} or parameters.get("content_type", "base64") != "base64":
        raise BadUploadError(f"the input's parameters may only be {SIZE}, and content_type 'base64'")
    check_size(parameters.get(SIZE), binary)
    photos = _binary_photos(tensor, binary, most) if SIZE in parameters and binary else _json_photos(tensor, most)
    if tensor.get("shape") not in ([len(photos)], [len(photos), 1]):
        raise BadUploadError(f"the input's shape must be [{len(photos)}], as its data has {len(photos)} images")
    return photos


def _binary_photos(tensor: dict[str, Any], binary: memoryview, most: int) -> list[bytes]:
    """Return the photos after the JSON, which are files, unless the tensor says that they are base64."""
    if "data" in tensor:
        raise BadUploadError(f"the input has both data and {SIZE}; it must have one of them")
    photos = unpack_texts(binary, most)
    if "content_type" in tensor["parameters"]:
        return [decode_base64(photo.decode("latin-1"), "the binary data") for photo in photos]
    return photos


def _json_photos(tensor: dict[str, Any], most: int) -> list[bytes]:
    data = tensor.get("data")
    if not isinstance(data, list) or not 1 <= len(data) <= most:
        raise BadUploadError(f"the input's data must be a list of 1 to {most} images in base64")
    return [decode_base64(item[0] if isinstance(item, list) and len(item) == 1 else item, "data") for item in data]


def _read_outputs(values: dict[str, Any]) -> list[str]:
    outputs = values.get("outputs") or []
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise BadUploadError("outputs must be a list of objects with a name")
    wanted = [output.get("name") for output in outputs] or list(OUTPUTS)
    if not all(isinstance(name, str) and name in OUTPUTS for name in wanted) or len(set(wanted)) < len(wanted):
        raise BadUploadError(f"outputs must be some of {', '.join(OUTPUTS)}, each once")
    return wanted


def _read_parameters(values: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in _object(values, "parameters").items() if name != ALL_WANTED}
    return read_values({name: [JsonValue(value)] for name, value in given.items()}, DECODING)


def _object(values: dict[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadUploadError(f"{name} must be a JSON object")
    return found


def _done(result: Result | Exception) -> Sequence[Caption]:
    """Return a photo's captions; the protocol has no errors for a part of a request."""
    if isinstance(result, Exception):
        raise result
    return result.captions


def _answer(
    model: ModelIdentity, values: dict[str, Any], found: Sequence[Sequence[Caption]], wanted: Sequence[str]
) -> dict[str, Any]:
    each = len(found[0])
    shape = [len(found)] if each == 1 else [len(found), each]
    answer: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if "id" in values:
        answer["id"] = values["id"]
    captions = [caption for of_photo in found for caption in of_photo]
    answer["outputs"] = [
        {"name": name, "shape": shape, "datatype": kind, "data": [value(caption) for caption in captions]}
        for name, (kind, value) in ((name, OUTPUTS[name]) for name in wanted)
    ]
    return answer
