"""What the server holds of all uploads together: bounded, whoever sends however much however slowly."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from waitress.adjustments import Adjustments

from service import Settings, buffering, create_app
from service.buffering import Channel, channel_maker
from service.inference.engine import Engine
from service.inference.jobs import Model
from service.server import addresses, open_server, stop_server
from tests.support.gates import PATIENCE, Gate, Listener

MakePhoto = Callable[..., bytes]
MIB = 2**20
URL = "/v1/captions"
SETTINGS = Settings(port=0, max_upload_bytes=2 * MIB, max_buffered_bytes=4 * MIB)


class Home:
    """A service in a real server, whose memory can be looked at."""

    def __init__(self, gate: Gate) -> None:
        self.listener = Listener()
        engine = Engine(SETTINGS, self.listener)
        engine.use(Model(gate))
        self.server = open_server(create_app(engine, SETTINGS), SETTINGS)
        parts = urlsplit(addresses(self.server)[0])
        self.address = str(parts.hostname), int(parts.port or 0)

    def buffered(self) -> int:
        """Return how many bytes of bodies are really there."""
        found = [channel for channel in list(self.server._map.values()) if isinstance(channel, Channel)]
        parsers = [parser for channel in found for parser in (channel.request, *channel.requests) if parser]
        return sum(len(parser.body_rcv) for parser in parsers if parser.body_rcv is not None)

    def wait_until_buffered(self, least: int) -> None:
        end = time.monotonic() + PATIENCE
        while self.buffered() < least:
            assert time.monotonic() < end, f"only {self.buffered()} bytes"
            time.sleep(0.01)


@pytest.fixture
def gate() -> Gate:
    return Gate(is_open=True)


@pytest.fixture
def home(gate: Gate) -> Iterator[Home]:
    home = Home(gate)
    loop = threading.Thread(target=home.server.run)
    loop.start()
    try:
        yield home
    finally:
        gate.opened.set()
        stop_server(home.server)
        loop.join()


class Upload:
    """A request of which the test sends as much as it likes."""

    def __init__(self, address: tuple[str, int], length: int | None, path: str = URL) -> None:
        self.connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
        self.connection.putrequest("POST", path)
        self.is_chunked = length is None
        self.connection.putheader(*(("Transfer-Encoding", "chunked") if length is None else ("Content-Length", length)))
        self.connection.endheaders()

    def send(self, data: bytes) -> None:
        self.connection.send(b"%x\r\n%s\r\n" % (len(data), data) if self.is_chunked else data)

    def answer(self) -> tuple[int, dict[str, str], Any]:
        response = self.connection.getresponse()
        return response.status, dict(response.getheaders()), json.loads(response.read())


@contextmanager
def uploads(home: Home, count: int, length: int | None) -> Iterator[list[Upload]]:
    with ExitStack() as stack:
        found = [Upload(home.address, length) for _ in range(count)]
        for upload in found:
            stack.callback(upload.connection.close)
        yield found


@pytest.mark.parametrize("chunked", [False, True])
def test_all_uploads_together_hold_no_more_than_is_allowed(home: Home, chunked: bool) -> None:
    size = MIB + MIB // 2
    most = 0
    with uploads(home, 20, None if chunked else size) as found:
        for part in range(size // 2**14):
            for upload in found:
                if part < size // 2**14 - 1:
                    upload.send(bytes(2**14))
            most = max(most, home.buffered())
        home.wait_until_buffered(MIB)
        for upload in found:
            upload.send(bytes(2**14))
            if chunked:
                upload.connection.send(b"0\r\n\r\n")
            most = max(most, home.buffered())
        answers = [upload.answer() for upload in found]
    assert MIB <= most <= SETTINGS.max_buffered_bytes + 20 * 2**16  # that which comes in one piece is looked at then
    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {415, 503}  # zeros are no photo, but two of them were looked at
    assert statuses.count(415) == 2
    assert home.listener.reasons == ["uploads_full"] * 18


def test_who_finds_no_memory_is_told_when_to_come_again(home: Home, photo: MakePhoto) -> None:
    with uploads(home, 2, 2 * MIB) as found:
        for upload in found:
            upload.send(bytes(MIB))
        home.wait_until_buffered(2 * MIB)
        for path, member in ((URL, "detail"), ("/hf", "error"), ("/v2/models/fake/infer", "error")):
            late = Upload(home.address, MIB, path)
            late.send(bytes(MIB))
            status, headers, problem = late.answer()
            assert (status, int(headers["Retry-After"])) == (503, 5)
            assert "4 MiB" in problem[member]
            late.connection.close()
        small = Upload(home.address, len(photo(9)))
        small.send(photo(9))  # which comes in one piece
        assert small.answer()[0] == 200
        small.connection.close()
    home_again = Upload(home.address, MIB)
    home_again.send(bytes(MIB))
    assert home_again.answer()[0] == 415
    home_again.connection.close()


def test_what_is_worked_on_counts_too(home: Home, gate: Gate, photo: MakePhoto) -> None:
    gate.opened.clear()
    data = photo(1) + bytes(2 * MIB - len(photo(1)))  # a photo, and much after it
    with uploads(home, 2, len(data)) as found:
        for upload in found:
            upload.send(data)
        gate.wait_until_entered()
        late = Upload(home.address, MIB)
        late.send(bytes(MIB))
        assert late.answer()[0] == 503
        late.connection.close()
        gate.opened.set()
        assert [upload.answer()[0] for upload in found] == [200, 200]


def test_slow_uploads_give_way(home: Home, photo: MakePhoto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffering, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(buffering, "SLOW", 2**30)
    with uploads(home, 4, MIB) as slow:
        for upload in slow:
            upload.send(bytes(2**17))
        home.wait_until_buffered(2**19)
        time.sleep(0.3)
        data = photo(5) + bytes(MIB)
        quick = Upload(home.address, len(data))
        quick.send(data)
        assert quick.answer()[0] == 200
        quick.connection.close()
        for upload in slow:
            upload.send(bytes(MIB - 2**17))
        assert sorted(upload.answer()[0] for upload in slow) == [415, 415, 503, 503]


def test_an_answer_that_nobody_reads_counts_until_it_is_sent() -> None:
    here, there = socket.socketpair()
    server = SimpleNamespace(active_channels={})
    channel = channel_maker(4 * MIB)(server, here, ("127.0.0.1", 1), Adjustments(), map={})
    try:
        assert channel.held == 0
        channel.total_outbufs_len = 5 * MIB
        assert channel.held == 5 * MIB
        assert "127" not in f"{channel!r} {channel!s}"
        channel.received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbeginning")
        assert channel.request.is_refused
    finally:
        channel.close()
        there.close()
