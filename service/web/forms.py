"""Forms whose headers may be in any encoding: the names of files are ignored, and so must not refuse an upload."""

import io
import re
from typing import IO, Any

from flask import Request
from werkzeug.formparser import FormDataParser

MAX_HEADERS = 64 * 1024  # bytes of a part's headers that are looked at; the parser refuses longer ones
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_FOREIGN_LETTERS = re.compile(rb"[\x80-\xff]+[@-~]?")  # the second byte of a letter may look like a backslash


class AnyNameParser(FormDataParser):
    """Werkzeug's parser of forms, which by itself refuses a part whose headers are not UTF-8."""

    def parse(self, stream: IO[bytes], mimetype: str, content_length: int | None, options: Any = None) -> Any:
        """Return the stream, the fields and the files of a form."""
        boundary = (options or {}).get("boundary", "").encode("ascii", "replace")
        if mimetype != "multipart/form-data" or not boundary:
            return super().parse(stream, mimetype, content_length, options)
        _, fields, files = super().parse(_ReadableHeaders(stream, boundary), mimetype, content_length, options)  # type: ignore[arg-type]
        return stream, fields, files


class _ReadableHeaders:
    """A form as it comes, but for letters in its parts' headers that are not UTF-8: each is an underscore.

    What the parts hold goes through untouched, and no more of it is held back than a boundary is long.
    """

    def __init__(self, stream: IO[bytes], boundary: bytes) -> None:
        self._stream = stream
        self._boundary = re.compile(rb"[\r\n]--" + re.escape(boundary) + rb"[^\S\r\n]*[\r\n]")
        self._tail = len(boundary) + 16  # a boundary that is not all there yet
        self._held = b"\n"  # so that the first boundary begins a line, too
        self._is_first = True
        self._in_headers = False

    def read(self, size: int = -1) -> bytes:
        """Return some bytes; none at the end."""
        while True:
            chunk = self._stream.read(size)
            self._held += chunk
            ready = self._take(is_last=not chunk)
            if self._is_first and ready:
                ready, self._is_first = ready[1:], False
            if ready or not chunk:
                return ready

    def _take(self, is_last: bool) -> bytes:
        """Return what can go on, and hold the rest."""
        ready: list[bytes] = []
        while self._in_headers or self._enter_headers(ready):
            blank = _BLANK_LINE.search(self._held)
            if blank is None and not is_last and len(self._held) < MAX_HEADERS:
                return b"".join(ready)
            end = blank.start() if blank else len(self._held)
            ready.append(_readable(self._held[:end]))
            self._held, self._in_headers = self._held[end:], False
        end = len(self._held) if is_last else max(0, len(self._held) - self._tail)
        ready.append(self._held[:end])
        self._held = self._held[end:]
        return b"".join(ready)

    def _enter_headers(self, ready: list[bytes]) -> bool:
        """Let all up to the next part's headers go on; return whether there is such a part."""
        found = self._boundary.search(self._held)
        if found is None:
            return False
        ready.append(self._held[: found.end()])
        self._held = self._held[found.end() :]
        self._in_headers = True
        return True


def _readable(headers: bytes) -> bytes:
    try:
        headers.decode()
    except UnicodeDecodeError:
        return _FOREIGN_LETTERS.sub(b"_", headers)
    return headers


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
