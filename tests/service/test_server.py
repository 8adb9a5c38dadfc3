"""The real server, over real sockets: bad requests get clear answers, and the next one is still served."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask

pytestmark = pytest.mark.slow
MakePhoto = Callable[..., bytes]
Encode = Callable[[bytes], dict[str, Any]]
Serve = Callable[[Flask], AbstractContextManager[str]]
URL = "/v1/captions"
KILOBYTE = 1024


@pytest.fixture
def address(app: Flask, serve: Serve) -> Iterator[tuple[str, int]]:
    with serve(app) as url:
        parts = urlsplit(url)
        yield str(parts.hostname), int(parts.port or 0)


def post(address: tuple[str, int], data: Any, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    try:
        connection.request("POST", URL, data, headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def exchange(address: tuple[str, int], request: bytes) -> bytes:
    """Send bytes, say that no more will come, and return all that is answered."""
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def is_alive(address: tuple[str, int]) -> bool:
    return exchange(address, b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_form_raw_and_chunked_uploads(address: tuple[str, int], photo: MakePhoto, encode: Encode) -> None:
    form = encode(photo(7))
    answers = [
        post(address, form["data"], form["headers"]),
        post(address, photo(7)),
        post(address, iter([photo(7)[:50], photo(7)[50:]])),
    ]
    for status, answer in answers:
        assert status == 200, answer
        assert answer["captions"][0]["text"] == "a photo of red 7"


@pytest.mark.parametrize("kilobytes", [1025, 1200, 2000])
def test_an_upload_that_is_too_large_is_told_so(address: tuple[str, int], kilobytes: int, encode: Encode) -> None:
    data = b"\xff\xd8\xff" + bytes(kilobytes * KILOBYTE)
    form = encode(data)
    for status, problem in (post(address, data), post(address, form["data"], form["headers"])):
        assert (status, problem["status"]) == (413, 413)
        assert problem["type"] == "urn:captioner:problem:image-too-large"
    assert is_alive(address)


def test_an_upload_that_is_far_too_large_is_not_read(address: tuple[str, int]) -> None:
    head = b"POST /v1/captions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"
    assert exchange(address, head).startswith(b"HTTP/1.1 413")
    assert is_alive(address)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\xff garbage\r\n\r\n",
        b"POST /v1/captions HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/captions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_garbage_is_refused(address: tuple[str, int], request_bytes: bytes) -> None:
    assert exchange(address, request_bytes).startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert is_alive(address)


def test_garbage_in_the_body_is_refused(address: tuple[str, int], photo: MakePhoto, encode: Encode) -> None:
    cut = photo(image_format="JPEG", size=(300, 300))[:400]
    assert post(address, b"garbage")[0] == 415
    assert post(address, cut)[0] == 422
    form = encode(photo())
    assert post(address, form["data"][:-20], form["headers"])[0] == 400
    assert is_alive(address)


def test_a_request_that_is_cut_off_is_dropped(address: tuple[str, int]) -> None:
    head = b"POST /v1/captions HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
    assert exchange(address, head + b"only this") == b""
    assert is_alive(address)


def test_slow_clients_do_not_keep_others_waiting(address: tuple[str, int], photo: MakePhoto) -> None:
    head = b"POST /v1/captions HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\npart"
    slow = [socket.create_connection(address, timeout=20) for _ in range(40)]
    try:
        for connection in slow:
            connection.sendall(head)
        start = time.perf_counter()
        assert post(address, photo())[0] == 200
        assert time.perf_counter() - start < 5
    finally:
        for connection in slow:
            connection.close()


def test_the_command_serves_the_shipped_model_until_it_is_told_to_stop(photo: MakePhoto) -> None:
    if not any(Path(str(resources.files("captioner"))).glob("*.safetensors")):
        pytest.skip("no model is shipped in this checkout")
    command = [sys.executable, "-m", "service", "--port", "0", "--inference-threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            watchdog = threading.Timer(120, process.kill)
            watchdog.start()
            assert process.stdout is not None
            parts = urlsplit(process.stdout.readline().split()[-1])
            sample = resources.files("service") / "static/samples/dog.jpg"
            status, answer = post((str(parts.hostname), int(parts.port or 0)), sample.read_bytes())
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            watchdog.cancel()
            process.kill()
    assert status == 200
    [caption] = answer["captions"]
    assert caption["words"]
    for word in caption["words"]:
        assert len(word["attention"]) == answer["attention_grid"][0] * answer["attention_grid"][1]
        assert sum(word["attention"]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--port", "many"], "--port is 'many'"),
        (["--checkpoint", "no/such.safetensors"], "no/such.safetensors"),
    ],
)
def test_the_command_explains_what_does_not_fit(flags: list[str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", *flags], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
