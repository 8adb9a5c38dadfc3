"""Request bodies, inflated where they came compressed, but never beyond what a request may have."""

import zlib
from collections.abc import Mapping

from flask import Request

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
