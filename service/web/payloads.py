"""Requests that stay in memory, and captions to JSON values."""

import io
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from flask import Request
from numpy.typing import NDArray
from werkzeug.formparser import FormDataParser

from captioner.types import Caption
from service.inference.cache import PhotoFacts
from service.web.forms import AnyNameParser

CONFIDENCE_DECIMALS = 4  # more than a calibration can tell
DECIMALS = 6  # of log-probabilities and attention weights: far below what float32 can tell apart after a network
ACTIVATION_DECIMALS = 4  # enough to draw them


class MemoryRequest(Request):
    """A request whose uploads stay in memory, and whose malformed forms are errors instead of empty forms."""

    form_data_parser_class = AnyNameParser

    def _get_file_stream(
        self,
        total_content_length: int | None,  # noqa: ARG002 - the signature is Werkzeug's
        content_type: str | None,  # noqa: ARG002
        filename: str | None = None,  # noqa: ARG002
        content_length: int | None = None,  # noqa: ARG002
    ) -> IO[bytes]:
        return io.BytesIO()

    def make_form_data_parser(self) -> FormDataParser:
        """Return Werkzeug's parser, told not to swallow errors."""
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser


def image_payload(photo: PhotoFacts) -> dict[str, Any]:
    """Describe the upright image."""
    return {"width": photo.width, "height": photo.height, "format": photo.format}


def caption_payload(caption: Caption) -> dict[str, Any]:
    """Return a caption as JSON values; the weights of each word run row by row from the top left."""
    payload = {
        "text": caption.text,
        "log_prob": round(float(caption.log_prob), DECIMALS),
        "finished": caption.finished,
        "confidence": _confidence(caption.confidence),
        "needs_review": caption.needs_review,
        "words": [_word(caption, index) for index in range(len(caption.words))],
    }
    if caption.activations is not None:
        payload["activations"] = {name: _rounded(values) for name, values in caption.activations.items()}
    return payload


def score_payload(caption: Caption) -> dict[str, Any]:
    """Return a scored text as JSON values: a caption whose words tell whether the vocabulary knows them."""
    payload = caption_payload(caption)
    for word, entry in zip(caption.words, payload["words"], strict=True):
        entry["known"] = word.known
    return payload


def _word(caption: Caption, index: int) -> dict[str, Any]:
    word = caption.words[index]
    return {
        "text": word.text,
        "log_prob": round(float(word.log_prob), DECIMALS),
        "confidence": _confidence(word.confidence),
        "attention": _weights(caption, index),
    }


def _confidence(value: float | None) -> float | None:
    return None if value is None else round(value, CONFIDENCE_DECIMALS)


def _rounded(values: NDArray[np.float32]) -> Any:
    return values.astype(np.float64).round(ACTIVATION_DECIMALS).tolist()  # float32 has no short decimals


def _weights(caption: Caption, index: int) -> list[float] | None:
    if caption.attention is None:
        return None
    return [round(weight, DECIMALS) for weight in caption.attention[index].ravel().tolist()]


def attention_grid(captions: Sequence[Caption]) -> list[int] | None:
    """Return the rows and columns of the attention maps, or None when the model does not attend."""
    for caption in captions:
        if caption.attention is not None:
            return list(caption.attention.shape[1:])
    return None
