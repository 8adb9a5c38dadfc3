"""Clients that load a service count what it answers as it is, however it answers: here in batches, at a known rate."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from benchmarks.service.clients import closed_loop

BATCH_SECONDS = 0.3
ANSWER = json.dumps({"captions": [{"text": "a dog", "log_prob": -1.0}]}).encode()


class InBatches(BaseHTTPRequestHandler):
    """Answers all who wait at the end of each batch."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes in one piece, or its second waits until the first has been acknowledged
    began: ClassVar[float] = time.monotonic()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(BATCH_SECONDS - (time.monotonic() - self.began) % BATCH_SECONDS)
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def netloc() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), InBatches)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("seconds", [0.4, 1.0])  # of which a window of this length would hold 1 or 2, and 3 or 4
def test_the_rate_is_that_of_whole_batches(netloc: str, seconds: float) -> None:
    load = closed_loop(netloc, [b"photo"], 4, seconds)
    assert load.failures == 0
    assert load.rate == pytest.approx(4 / BATCH_SECONDS, rel=0.1)
