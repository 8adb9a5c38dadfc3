"""A web server whose behaviour a test scripts, attempt by attempt."""

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Answer:
    """How the server answers one request.

    Attributes:
        content: The file as it is then.
        etag: What names that version; empty names none.
        drop_after: Bytes of the body after which the connection breaks; ``None`` sends all.
        status: An error to answer with instead; 0 is none.
        ranges: Whether parts are served.
        ignores_if_range: Whether a part is served whatever version was asked for.
        shift: What is added to where a part begins, in truth and in the header.
        lie: What is added to where a part begins, in truth alone.
        length: Content-Length, if another than the true one; 0 leaves it out.
    """

    content: bytes
    etag: str = '"1"'
    drop_after: int | None = None
    status: int = 0
    ranges: bool = True
    ignores_if_range: bool = False
    shift: int = 0
    lie: int = 0
    length: int | None = None


@dataclass
class Server:
    """The script and what was asked.

    Attributes:
        url: Of the server.
        answers: By path: one per request, the last one for all further ones.
        asked: Path, and the first byte asked for, of each request.
    """

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Answers as the script says."""

    script: Server

    def do_GET(self) -> None:
        start = int((self.headers["Range"] or "bytes=0-")[len("bytes=") : -1])
        self.script.asked.append((self.path, start))
        answers = self.script.answers.get(self.path, [Answer(b"", status=404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer.status:
            self.send_error(answer.status)
            return
        same = answer.ignores_if_range or self.headers["If-Range"] == answer.etag
        self._send(answer, start if start and answer.ranges and same else None)

    def _send(self, answer: Answer, start: int | None) -> None:
        total = len(answer.content)
        if start is not None and start >= total:
            self.send_error(416)
            return
        first = (start or 0) + (answer.shift if start else 0)
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        if answer.etag:
            self.send_header("ETag", answer.etag)
        length = total - first if answer.length is None else answer.length
        if length:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        begin = first + (answer.lie if start else 0)
        self.wfile.write(answer.content[begin:][: answer.drop_after])
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    script = Server()
    handler = type("ScriptedHandler", (Handler,), {"script": script})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        script.url = f"http://127.0.0.1:{http.server_port}"
        yield script
        http.shutdown()
        thread.join()


@pytest.fixture
def make_zip() -> Callable[..., bytes]:
    """Return a function from file names and contents to a zip file."""

    def make(members: dict[str, bytes]) -> bytes:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), content)
        return data.getvalue()

    return make


@pytest.fixture
def answer() -> type[Answer]:
    return Answer
