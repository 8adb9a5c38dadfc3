"""The Open Inference Protocol, version 2, over HTTP: what KServe, Triton and MLServer speak."""

import math
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask import Blueprint, Response, jsonify, request

from captioner.types import Caption
from service.adapters.dialect import speak
from service.desk import Desk, Work
from service.errors import BadUploadError, UnknownModelError
from service.options import DECODING, Allowance, allowed_options, read_values
from service.replies import never_store
from service.settings import Settings
from service.uploads import JsonValue, decode_base64, read_json
from service.work import Captioning, Model

INPUT = "image"
OUTPUTS: dict[str, tuple[str, Callable[[Caption], Any]]] = {  # name -> data type, and its value for a caption
    "caption": ("BYTES", lambda caption: caption.text),
    "log_prob": ("FP32", lambda caption: float(caption.log_prob)),
    "probability": ("FP32", lambda caption: math.exp(min(0.0, caption.log_prob))),
}
TRANSPORT = (
    "binary_data",
    "binary_data_output",
)  # of an extension that is not offered: answers are JSON, which it allows
PATHS = ("/v2/models/<name>", "/v2/models/<name>/versions/<version>")


def create_v2(desk: Desk, settings: Settings) -> Blueprint:
    """Return the routes, bound to a model."""
    adapter = Blueprint("v2", __name__)
    allowance = Allowance(settings.options(), settings.max_words)

    @adapter.get("/v2")
    def tell_server() -> Response:
        return jsonify(name="captioner", version=_own_version(), extensions=[])

    @adapter.get("/v2/health/live")
    def tell_live() -> Response:
        desk.check_alive()
        return jsonify(live=True)

    @adapter.get("/v2/health/ready")
    def tell_ready() -> tuple[Response, int]:
        ready = desk.is_ready
        return jsonify(ready=ready), _status(ready)

    def tell_model(name: str, version: str | None = None) -> Response:
        model = _check_model(desk, name, version)
        return jsonify(
            name=model.name,
            versions=[model.version],
            platform="captioner_pytorch",
            inputs=[{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
            outputs=[{"name": output, "datatype": kind, "shape": [-1]} for output, (kind, _) in OUTPUTS.items()],
        )

    def tell_model_ready(name: str, version: str | None = None) -> tuple[Response, int]:
        model, ready = _check_model(desk, name, version), desk.is_ready
        return jsonify(name=model.name, ready=ready), _status(ready)

    def infer(name: str, version: str | None = None) -> Response:
        _check_model(desk, name, version)
        values = _read_body()
        photos, wanted = _read_photos(values, settings.max_images), _read_outputs(values)
        options = allowed_options(_read_parameters(values), allowance, len(photos))
        model, results = desk.do_each(photos, Captioning(options))
        return jsonify(_answer(model, values, [_done(result) for result in results], wanted))

    for path in PATHS:
        adapter.get(path)(tell_model)
        adapter.get(f"{path}/ready")(tell_model_ready)
        adapter.post(f"{path}/infer")(infer)
    speak(adapter, lambda problem: {"error": problem["detail"]})
    never_store(adapter)
    return adapter


def _own_version() -> str:
    try:
        return version("captioner")
    except PackageNotFoundError:  # it runs from a folder of sources
        return "unversioned"


def _status(ready: bool) -> int:
    """Return the status of readiness, that of GET /readyz."""
    return 200 if ready else 503


def _check_model(desk: Desk, name: str, version: str | None) -> Model:
    model = desk.model
    if name != model.name or version not in (None, model.version):
        raise UnknownModelError(f"there is only the model {model.name!r}, version {model.version!r}")
    return model


def _read_body() -> dict[str, Any]:
    values = read_json(request)
    unknown = sorted(set(values) - {"id", "parameters", "inputs", "outputs"})
    if unknown or not isinstance(values.get("id", ""), str):
        what = "id must be a text" if not unknown else f"{unknown[0]!r:.40} is not part of the protocol"
        raise BadUploadError(what)
    return values


def _read_photos(values: dict[str, Any], most: int) -> list[bytes]:
    inputs = values.get("inputs")
    if not (isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict)):
        raise BadUploadError(f"inputs must be a list of one tensor, named {INPUT!r}")
    [tensor] = inputs
    data, shape = tensor.get("data"), tensor.get("shape")
    if tensor.get("name") != INPUT or tensor.get("datatype") != "BYTES":
        raise BadUploadError(f"the input must have the name {INPUT!r} and the datatype 'BYTES'")
    parameters = _object(tensor, "parameters")
    if set(parameters) - {"content_type", *TRANSPORT} or parameters.get("content_type", "base64") != "base64":
        raise BadUploadError("the input's parameters may only be content_type 'base64'")
    if not isinstance(data, list) or not 1 <= len(data) <= most:
        raise BadUploadError(f"the input's data must be a list of 1 to {most} images in base64")
    if shape not in ([len(data)], [len(data), 1]):
        raise BadUploadError(f"the input's shape must be [{len(data)}], as its data has {len(data)} images")
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
    given = {name: value for name, value in _object(values, "parameters").items() if name not in TRANSPORT}
    return read_values({name: [JsonValue(value)] for name, value in given.items()}, DECODING)


def _object(values: dict[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadUploadError(f"{name} must be a JSON object")
    return found


def _done(result: Work | Exception) -> Sequence[Caption]:
    """Return a photo's captions; the protocol has no errors for a part of a request."""
    if isinstance(result, Exception):
        raise result
    return result.captions


def _answer(
    model: Model, values: dict[str, Any], found: Sequence[Sequence[Caption]], wanted: Sequence[str]
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
