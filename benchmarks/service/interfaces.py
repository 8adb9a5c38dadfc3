"""The interfaces of the service that can be timed: how a photo is asked about, and what comes back."""

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Interface:
    """One way to ask for a caption.

    Attributes:
        path: Where a photo is sent to.
        kind: The content type of what is sent.
        encode: Returns the request's body, given the bytes of a photo.
        decode: Returns the caption and its log-probability, given the answer; not a number where none is told.
    """

    path: str
    kind: str
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], tuple[str, float]]


def _native(body: bytes) -> tuple[str, float]:
    caption = json.loads(body)["captions"][0]
    return caption["text"], caption["log_prob"]


def _prompt(photo: bytes) -> bytes:
    """Return what an application asks Ollama."""
    asked: dict[str, Any] = {"model": "any", "prompt": "Describe this image.", "stream": False}
    return json.dumps({**asked, "images": [base64.b64encode(photo).decode()]}).encode()


def _generated(body: bytes) -> tuple[str, float]:
    return json.loads(body)["response"], math.nan


INTERFACES: Mapping[str, Interface] = {
    "captions": Interface("/v1/captions", "image/jpeg", bytes, _native),
    "ollama": Interface("/api/generate", "application/json", _prompt, _generated),
}
