"""The binary tensor data extension of the Open Inference Protocol: tensors as bytes after the JSON."""

import re
import struct
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from flask import Request, Response, current_app, jsonify

from service.errors import BadUploadError
from service.web.requests import parse_json, read_body, read_json

HEADER = "Inference-Header-Content-Length"
SIZE, WANTED, ALL_WANTED = "binary_data_size", "binary_data", "binary_data_output"
OCTETS = "application/octet-stream"
LENGTH = struct.Struct("<I")  # before each element of BYTES


def read_message(request: Request) -> tuple[dict[str, Any], memoryview | None]:
    """Return the JSON object of a request, and the bytes after it; None if the request is all JSON.

    Raises:
        BadUploadError: If the header does not tell where the JSON ends, or that cannot be read.
    """
    header = request.headers.get(HEADER)
    if header is None:
        return read_json(request), None
    body = memoryview(read_body(request))
    if not re.fullmatch("[0-9]{1,19}", header) or int(header) > len(body):
        raise BadUploadError(
            f"{HEADER} is {header!r:.40}; it must be the length of the JSON "
            f"with which the body, {len(body)} bytes, begins"
        )
    return parse_json(bytes(body[: int(header)])), body[int(header) :]


def check_size(size: object, binary: memoryview | None) -> None:
    """Check that the only input claims exactly the bytes after the JSON.

    Args:
        size: The input's ``binary_data_size``; None if it has none.
        binary: The bytes after the JSON; None without the header that says where it ends.

    Raises:
        BadUploadError: If it does not.
    """
    if size is None and not binary:
        return
    if size is None:
        raise BadUploadError(f"{len(binary or b'')} bytes follow the JSON; the input must tell them by {SIZE}")
    if binary is None:
        raise BadUploadError(f"{SIZE} needs the header {HEADER}, the length of the JSON before the binary data")
    if type(size) is not int or size != len(binary):
        raise BadUploadError(f"{SIZE} is {size!r:.40}, but {len(binary)} bytes follow the JSON; they must be the same")


def unpack_texts(data: memoryview, most: int) -> list[bytes]:
    """Return the elements of a BYTES tensor: each is its length in 4 bytes, the lowest first, and then itself.

    Args:
        data: The tensor.
        most: How many elements it may have.

    Raises:
        BadUploadError: If it has none or more, one is empty, or the last one is cut off.
    """
    elements: list[bytes] = []
    at = 0
    while at < len(data) and len(elements) < most:
        end = at + LENGTH.size
        end += LENGTH.unpack_from(data, at)[0] if end <= len(data) else 0
        if not at + LENGTH.size < end <= len(data):
            raise BadUploadError(
                f"element {len(elements)} of the binary data is empty or cut off; "
                "each is 4 bytes of length and then an image"
            )
        elements.append(bytes(data[at + LENGTH.size : end]))
        at = end
    if not elements or at < len(data):
        raise BadUploadError(f"the binary data must be 1 to {most} images, each after its length in 4 bytes")
    return elements


def binary_outputs(values: Mapping[str, Any], parameters: Mapping[str, Any], wanted: Sequence[str]) -> frozenset[str]:
    """Return which outputs a request wants as binary data.

    Args:
        values: The request, whose outputs are a list of objects.
        parameters: The request's parameters.
        wanted: The names of the outputs.

    Raises:
        BadUploadError: If an output has other parameters than ``binary_data``, or one is neither true nor false.
    """
    every = _truth(parameters, ALL_WANTED, default=False)
    choices = dict.fromkeys(wanted, every)
    for output in values.get("outputs") or []:
        own = output.get("parameters") or {}
        if not isinstance(own, dict) or set(own) - {WANTED}:
            raise BadUploadError(f"an output's parameters may only be {WANTED}, which is true or false")
        choices[output["name"]] = _truth(own, WANTED, default=every)
    return frozenset(name for name, binary in choices.items() if binary)


def _truth(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise BadUploadError(f"{name} is {value!r:.40}; it must be true or false")
    return value


def answer_tensors(answer: dict[str, Any], binary: Collection[str]) -> Response:
    """Answer tensors: those named as binary data after the JSON, the others in it."""
    if not binary:
        return jsonify(answer)
    packed = {tensor["name"]: _pack(tensor) for tensor in answer["outputs"] if tensor["name"] in binary}
    outputs = [_told(tensor, packed.get(tensor["name"])) for tensor in answer["outputs"]]
    head = current_app.json.dumps({**answer, "outputs": outputs}).encode()
    response = Response(b"".join([head, *packed.values()]), mimetype=OCTETS)
    response.headers[HEADER] = str(len(head))
    return response


def _told(tensor: dict[str, Any], packed: bytes | None) -> dict[str, Any]:
    if packed is None:
        return tensor
    return {name: tensor[name] for name in ("name", "shape", "datatype")} | {"parameters": {SIZE: len(packed)}}


def _pack(tensor: Mapping[str, Any]) -> bytes:
    if tensor["datatype"] == "FP32":
        return np.asarray(tensor["data"], "<f4").tobytes()
    texts = [text.encode() for text in tensor["data"]]
    return b"".join(LENGTH.pack(len(text)) + text for text in texts)
