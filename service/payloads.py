"""Requests to values, and captions to JSON values."""

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import IO, Any

from flask import Request
from PIL.Image import Image
from werkzeug.datastructures import CombinedMultiDict, MultiDict
from werkzeug.formparser import FormDataParser

from captioner.decoding import MAX_BEAM_SIZE, MAX_LENGTH, DecodingOptions
from captioner.errors import OptionError
from captioner.types import Caption
from service.errors import BadUploadError

IMAGE_FIELD = "image"
RANGES = {"beam_size": (1, MAX_BEAM_SIZE), "num_captions": (1, MAX_BEAM_SIZE), "max_length": (1, MAX_LENGTH)}
DECIMALS = 6  # of log-probabilities and attention weights: far below what float32 can tell apart after a network


class MemoryRequest(Request):
    """A request whose uploads stay in memory, and whose malformed forms are errors instead of empty forms."""

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


def read_upload(request: Request) -> bytes:
    """Return the bytes of the image that a request carries: a form's part ``image``, or else the whole body.

    The client's content type and file name are claims, which are ignored.

    Raises:
        BadUploadError: If there is no image, more than one, or a form that cannot be read.
    """
    if request.mimetype != "multipart/form-data":
        data = request.get_data(cache=False)
        if not data:
            raise BadUploadError("the body is empty; send an image as the body or as the form part 'image'")
        return data
    data = _image_part(request)
    if not data:
        raise BadUploadError("the form part 'image' is empty; it must hold the bytes of an image")
    return data


def _image_part(request: Request) -> bytes:
    try:
        files = request.files
    except ValueError as error:
        raise BadUploadError(f"the multipart form cannot be read ({error}); was it cut off?") from None
    images = files.getlist(IMAGE_FIELD)
    if len(images) == 1 and len(files) == 1:
        data: bytes = images[0].read()
        return data
    if images:
        raise BadUploadError("the form has several files; send one image per request, as the part 'image'")
    if IMAGE_FIELD in request.form:
        raise BadUploadError("the form part 'image' is text; send it as a file, with a file name")
    raise BadUploadError("the form has no file part named 'image'; put the image there")


def read_options(request: Request, defaults: DecodingOptions) -> DecodingOptions:
    """Return how to search, from a request's query and form fields.

    More captions than beams widen the beam, unless the request also says how wide it must be.

    Raises:
        OptionError: If a parameter is unknown, given twice, or out of range.
    """
    given: CombinedMultiDict[str, str] = CombinedMultiDict([request.args, _form(request)])
    values = {name: _whole_number(name, texts) for name, texts in given.lists()}
    if "num_captions" in values and "beam_size" not in values:
        values["beam_size"] = max(defaults.beam_size, values["num_captions"])
    return replace(defaults, **values)


def _form(request: Request) -> MultiDict[str, str]:
    if request.mimetype != "multipart/form-data":
        return MultiDict()
    return MultiDict((name, text) for name, text in request.form.items(multi=True) if name != IMAGE_FIELD)


def _whole_number(name: str, texts: Sequence[str]) -> int:
    if name not in RANGES:
        raise OptionError(f"{_shorten(name)} is not a parameter; allowed: {', '.join(RANGES)}")
    if len(texts) > 1:
        raise OptionError(f"{name} is given {len(texts)} times; give it once")
    low, high = RANGES[name]
    if not re.fullmatch("[0-9]{1,9}", texts[0]) or not low <= int(texts[0]) <= high:
        raise OptionError(f"{name} is {_shorten(texts[0])}; it must be a whole number from {low} to {high}")
    return int(texts[0])


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def image_payload(image: Image) -> dict[str, Any]:
    """Describe the upright image."""
    return {"width": image.width, "height": image.height, "format": image.format}


def caption_payload(caption: Caption) -> dict[str, Any]:
    """Return a caption as JSON values; the weights of each word run row by row from the top left."""
    return {
        "text": caption.text,
        "log_prob": round(float(caption.log_prob), DECIMALS),
        "finished": caption.finished,
        "words": [
            {
                "text": word.text,
                "log_prob": round(float(word.log_prob), DECIMALS),
                "attention": _weights(caption, index),
            }
            for index, word in enumerate(caption.words)
        ],
    }


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
