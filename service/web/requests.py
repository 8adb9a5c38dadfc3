"""Requests to values: the photos that a request carries, and the fields beside them."""

import base64
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from flask import Request, current_app
from werkzeug.datastructures import MultiDict

from captioner.errors import ImageTooLargeError
from service.errors import MEBIBYTE, BadUploadError, UnsupportedEncodingError

WINDOWS: Mapping[str, int] = {  # content coding -> zlib's window, which says the format, too
    "gzip": 16 + zlib.MAX_WBITS,
    "x-gzip": 16 + zlib.MAX_WBITS,
    "deflate": zlib.MAX_WBITS,  # which HTTP takes to be zlib's format
}


def content_coding(request: Request) -> str:
    """Return how a request's body is compressed, or an empty text."""
    coding = request.headers.get("Content-Encoding", "").strip().lower()
    return "" if coding == "identity" else coding


def read_body(request: Request) -> bytes:
    """Return a request's body, inflated if it is compressed.

    Raises:
        UnsupportedEncodingError: If it is compressed by other means than gzip and deflate.
        ImageTooLargeError: If it inflates to more than the request may have, which is found out before it does.
        BadUploadError: If it cannot be inflated.
    """
    coding = content_coding(request)
    if coding and coding not in WINDOWS:
        raise UnsupportedEncodingError(f"the body's Content-Encoding is {coding!r:.40}; it may be gzip or deflate")
    data = request.get_data(cache=False)
    return _inflate(data, coding, request.max_content_length or 0) if coding else data


def _inflate(data: bytes, coding: str, most: int) -> bytes:
    inflater = zlib.decompressobj(WINDOWS[coding])
    try:
        inflated = inflater.decompress(data, most + 1)
    except zlib.error:
        raise BadUploadError(f"the body cannot be inflated, though its Content-Encoding is {coding}") from None
    if len(inflated) > most:
        raise ImageTooLargeError(f"the body inflates to more than {most / MEBIBYTE:.2f} MiB; send smaller images")
    if not inflater.eof or inflater.unused_data:
        what = "goes on after its end" if inflater.eof else "is cut off"
        raise BadUploadError(f"the body, whose Content-Encoding is {coding}, {what}")
    return inflated


IMAGE_FIELD = "image"
URL_FIELD = "url"
EITHER_ALPHABET = bytes.maketrans(b"-_", b"+/")
LINE_BREAKS = b"\t\r\n\f\v"  # but no spaces: one within base64 was a '+' that something on the way has broken
DATA_URI = re.compile(r"\s*data:", re.IGNORECASE)
FORM, JSON = "multipart/form-data", "application/json"


@dataclass(frozen=True)
class JsonValue:
    """A field that came with a type: what JSON held under its name."""

    value: Any


Given = str | JsonValue
Fields = Mapping[str, Sequence[Given]]


@dataclass(frozen=True)
class Upload:
    """What a request carries.

    Attributes:
        photos: The bytes of each photo, in the order in which they came.
        url: Where to fetch the photo, of a request that carries none.
        fields: Everything else, from the query, the form or the JSON object; what stands in two of them is there twice.
    """

    photos: Sequence[bytes]
    url: str | None = None
    fields: Fields = field(default_factory=dict)


def read_upload(request: Request, most: int = 1) -> Upload:
    """Return what a request carries: a form with parts ``image``, a JSON object, or else a body that is the photo.

    Except for telling these three apart, the client's content type and file names are claims, which are ignored.

    Args:
        request: The request.
        most: How many photos it may carry.

    Raises:
        BadUploadError: If there is no photo or more than allowed, or a form or JSON that cannot be read.
        UnsupportedEncodingError: If the body is compressed in a way that is not read here.
    """
    if request.mimetype == JSON:
        return _read_json_upload(request)
    if request.mimetype != FORM:
        data = read_body(request)
        if not data:
            raise BadUploadError("the body is empty; send an image as the body or as the form part 'image'")
        return Upload([data], fields=read_query(request))
    if content_coding(request):
        raise UnsupportedEncodingError(
            "a form cannot come with a Content-Encoding; send the photo as the body, or in JSON"
        )
    photos = _image_parts(request, most)
    if not all(photos):
        raise BadUploadError("the form part 'image' is empty; it must hold the bytes of an image")
    return Upload(photos, fields=_collect(request.args, request.form))


def read_query(request: Request) -> Fields:
    """Return the fields of a request's query."""
    return _collect(request.args)


def read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object that is a request's body.

    It may have half as many bytes again as other bodies: base64 costs a third, and its line breaks some more.

    Raises:
        BadUploadError: If the body is no JSON object, names something twice, or holds what JSON does not know.
    """
    request.max_content_length = current_app.config["MAX_CONTENT_LENGTH"] * 3 // 2
    return parse_json(read_body(request))


def parse_json(data: bytes) -> dict[str, Any]:
    """Return the JSON object that some bytes are.

    Raises:
        BadUploadError: If they are no JSON object, name something twice, or hold what JSON does not know.
    """
    try:
        values = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        json.dumps(values, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise BadUploadError(f"the body is not readable as JSON: {str(error)[:100]}") from None
    if not isinstance(values, dict):
        raise BadUploadError('the JSON is no object; send an object such as {"image": "<base64>"}')
    return values


def decode_base64(value: object, name: str) -> bytes:
    """Return the bytes that a JSON value stands for.

    It is base64 of either alphabet, with or without padding and line breaks, alone or as a ``data:`` URI.

    Raises:
        BadUploadError: If it is none of these, or stands for no bytes at all.
    """
    wanted = f"{name} must be a text: the bytes of an image as base64, or a data: URI of them"
    if not isinstance(value, str):
        raise BadUploadError(wanted)
    text = _base64_of(value, name)
    try:
        digits = text.strip().encode("ascii").translate(EITHER_ALPHABET, LINE_BREAKS)
        bare = digits.rstrip(b"=")
        data = base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except ValueError:  # of either step
        raise BadUploadError(wanted) from None
    if len(digits) != len(bare) and len(digits) % 4:
        raise BadUploadError(
            f"{name} is base64 with too many or too few '=' at its end; leave all of them out, or none"
        )
    if not data:
        raise BadUploadError(f"{name} is empty; it must hold the bytes of an image as base64")
    return data


def _base64_of(text: str, name: str) -> str:
    """Return the base64 of a text that may be a ``data:`` URI."""
    if not DATA_URI.match(text):
        return text
    kind, comma, data = text.partition(",")
    if not comma or not kind.rstrip().lower().endswith(";base64"):
        raise BadUploadError(f"{name} is a data: URI, which must be in base64, such as data:image/jpeg;base64,/9j/4AAQ")
    return unquote(data) if "%" in data else data


def _read_json_upload(request: Request) -> Upload:
    values = read_json(request)
    image, url = values.pop(IMAGE_FIELD, None), values.pop(URL_FIELD, None)
    fields = _collect(request.args, MultiDict((name, JsonValue(value)) for name, value in values.items()))
    if (image is None) == (url is None):
        raise BadUploadError("the JSON must have 'image', the photo as base64, or else 'url', but not both")
    if url is None:
        return Upload([decode_base64(image, IMAGE_FIELD)], fields=fields)
    if not isinstance(url, str):
        raise BadUploadError('url must be a text such as "https://example.org/photo.jpg"')
    return Upload([], url, fields)


def _image_parts(request: Request, most: int) -> list[bytes]:
    try:
        files = request.files
    except ValueError as error:
        raise BadUploadError(f"the multipart form cannot be read ({error}); was it cut off?") from None
    images = files.getlist(IMAGE_FIELD)
    if 1 <= len(images) <= most and set(files) == {IMAGE_FIELD}:
        return [image.read() for image in images]
    if images:
        allowed = "send one image per request, as the part" if most == 1 else f"send at most {most} images, each a part"
        raise BadUploadError(f"the form has several files, {len(list(files.items(multi=True)))}; {allowed} 'image'")
    if IMAGE_FIELD in request.form:
        raise BadUploadError("the form part 'image' is text; send it as a file, with a file name")
    raise BadUploadError("the form has no file part named 'image'; put the image there")


def _collect(*sources: MultiDict[str, Any]) -> Fields:
    fields: dict[str, list[Given]] = {}
    for place, source in enumerate(sources):
        for name, value in source.items(multi=True):
            if place == 0 or name != IMAGE_FIELD:  # a form's text beside the photo's own part
                fields.setdefault(name or "", []).append(value)  # a part may have no name at all
    return fields


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name stands in an object twice")
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
