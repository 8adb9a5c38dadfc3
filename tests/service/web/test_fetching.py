"""Photos from URLs: of listed hosts, from public addresses, over the address that was checked, within limits."""

import http.server
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from captioner.errors import CaptionerError, ImageTooLargeError
from service import Settings, create_app
from service.errors import BusyError, FetchError
from service.web.fetching import MAX_FETCHES, Fetcher, is_public
from tests.support.fakes import FakePredictor

pytestmark = pytest.mark.slow

MakePhoto = Callable[..., bytes]
HOST = "photos.example"


def always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


@dataclass
class Site:
    """A web server of a few lines, and what it was asked."""

    port: int
    answer: Callable[[http.server.BaseHTTPRequestHandler], None]
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def fetcher(self, **more: Any) -> Fetcher:
        options: dict[str, Any] = {"max_bytes": 1000, "seconds": 20, "may_reach": always(True)} | more
        options.setdefault("resolve", always(["127.0.0.1"]))
        return Fetcher([f"{HOST}:{self.port}"], ["http", "https"], **options)

    def url(self, path: str = "/photo.jpg?size=1") -> str:
        return f"http://{HOST}:{self.port}{path}"


def send(status: int, body: bytes, **headers: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.requests.append((self.path, dict(self.headers)))
            found.answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Site(server.server_address[1], send(200, b"photo"))
    loop = threading.Thread(target=server.serve_forever)
    loop.start()
    yield found
    server.shutdown()
    server.server_close()
    loop.join()


def test_a_photo_of_a_listed_host(site: Site) -> None:
    assert site.fetcher().fetch(site.url()) == b"photo"
    [(path, headers)] = site.requests
    assert path == "/photo.jpg?size=1"
    assert headers["Host"] == f"{HOST}:{site.port}"
    assert not {"Authorization", "Cookie", "Referer"} & set(headers)


def test_names_are_resolved_once_and_that_address_is_connected_to(site: Site) -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    fetcher = site.fetcher(resolve=lambda *_: next(answers))
    assert fetcher.fetch(site.url()) == b"photo"
    assert next(answers) == ["10.0.0.1"]


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",  # noqa: S104 - nothing is bound
        ),
        *("224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
        *("::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "fec0::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::"),
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)
def test_addresses_that_are_not_public_are_refused(site: Site, address: str) -> None:
    assert not is_public(address)
    for resolved in ([address], ["93.184.216.34", address]):
        fetcher = site.fetcher(resolve=always(resolved), may_reach=is_public)
        with pytest.raises(FetchError, match="not public"):
            fetcher.fetch(site.url())
    assert site.requests == []


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_not(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://evil.example/a.jpg", "at one of the hosts photos.example"),
        ("https://photos.example.evil.example/a.jpg", "hosts"),
        ("https://photos.example:8080/a.jpg", "hosts"),
        ("https://photos.example@evil.example/a.jpg", "hosts"),
        ("https://evil.example#@photos.example/a.jpg", "hosts"),
        ("https://user:pass@photos.example/a.jpg", "no user"),
        ("http://photos.example/a.jpg", "start with https://"),
        ("file:///etc/passwd", "start with https://"),
        ("ftp://photos.example/a.jpg", "start with https://"),
        ("photos.example/a.jpg", "start with https://"),
        ("https://photos.example:port/a.jpg", "not a URL"),
        ("https://[photos.example/a.jpg", "not a URL"),
        ("https://photos.example/a b.jpg", "printable ASCII"),
        ("https://photos.example/a\r\nX: y", "printable ASCII"),
        ("https://photos.example/é.jpg", "printable ASCII"),
        ("https://photos.example/" + "a" * 2000, "at most 2000 characters"),
        ("", "start with https://"),
    ],
)
def test_urls_that_are_not_allowed(url: str, words: str) -> None:
    def resolve(host: str, port: int) -> list[str]:
        pytest.fail("a name was looked up")

    fetcher = Fetcher([HOST], ["https"], 1000, 20, resolve=resolve)
    with pytest.raises(FetchError, match=words) as caught:
        fetcher.fetch(url)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (send(302, b"", Location="http://127.0.0.1/"), "status 302; redirects are not followed"),
        (send(404, b"none"), "status 404"),
        (send(500, b"secret"), "status 500"),
        (always(None), "did not give the photo"),
        (lambda handler: handler.wfile.write(b"nonsense\r\n\r\n"), "did not give the photo"),
    ],
)
def test_other_answers_are_no_photos(site: Site, answer: Any, words: str) -> None:
    site.answer = answer
    with pytest.raises(FetchError, match=words):
        site.fetcher().fetch(site.url())
    assert len(site.requests) == 1


def test_bytes_are_limited_whatever_is_announced(site: Site) -> None:
    site.answer = send(200, bytes(1000))
    assert len(site.fetcher().fetch(site.url())) == 1000
    for headers in ({}, {"Content-Length": "1001"}):
        site.answer = send(200, bytes(1001), **headers)
        with pytest.raises(ImageTooLargeError):
            site.fetcher().fetch(site.url())


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nhalf a photo"])
def test_time_is_limited_in_all(site: Site, beginning: bytes) -> None:
    over = threading.Event()

    def trickle(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.wfile.write(beginning)
        over.wait(30)

    site.answer = trickle
    try:
        with pytest.raises(FetchError, match="did not give the photo"):
            site.fetcher(seconds=0.3).fetch(site.url())
    finally:
        over.set()


def test_slow_hosts_cannot_take_all_threads(site: Site) -> None:
    arrived, over = threading.Semaphore(0), threading.Event()

    def wait(handler: http.server.BaseHTTPRequestHandler) -> None:
        arrived.release()
        over.wait(30)
        send(200, b"late")(handler)

    site.answer = wait
    fetcher = site.fetcher()
    threads = [threading.Thread(target=fetcher.fetch, args=[site.url()]) for _ in range(MAX_FETCHES)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert arrived.acquire(timeout=30)
    with pytest.raises(BusyError):
        fetcher.fetch(site.url())
    over.set()
    for thread in threads:
        thread.join()
    assert fetcher.fetch(site.url()) == b"late"


def test_looking_up_a_name_counts_as_well(site: Site) -> None:
    over = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        over.wait(30)
        return ["127.0.0.1"]

    fetcher = site.fetcher(resolve=resolve, seconds=0.3)
    start = time.monotonic()
    try:
        for _ in range(MAX_FETCHES + 1):  # the last of which finds all lookups taken
            with pytest.raises(FetchError, match=r"did not give the photo \(TimeoutError\)"):
                fetcher.fetch(site.url())
        assert time.monotonic() - start < 0.3 * (MAX_FETCHES + 1) + 2
        assert sum(thread.name == "resolving" for thread in threading.enumerate()) == MAX_FETCHES
    finally:
        over.set()
    assert site.requests == []


def test_one_deadline_for_all_steps(site: Site) -> None:
    over = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        time.sleep(0.4)
        return ["127.0.0.1"]

    def trickle(handler: http.server.BaseHTTPRequestHandler) -> None:
        over.wait(30)

    site.answer = trickle
    start = time.monotonic()
    try:
        with pytest.raises(FetchError, match=r"it has 0\.6 s"):
            site.fetcher(resolve=resolve, seconds=0.6).fetch(site.url())
        assert time.monotonic() - start < 0.9
    finally:
        over.set()


def test_all_addresses_are_tried_in_order(site: Site) -> None:
    closed = ["127.0.0.3", "127.0.0.4"]  # where nobody listens on that port
    assert site.fetcher(resolve=always([*closed, "127.0.0.1"])).fetch(site.url()) == b"photo"
    with pytest.raises(FetchError, match="ConnectionRefusedError"):
        site.fetcher(resolve=always(closed)).fetch(site.url())
    assert len(site.requests) == 1


def test_an_address_that_says_nothing_leaves_time_for_the_next(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, tried = socket.create_connection, []

    def create_connection(place: tuple[str, int], timeout: float) -> socket.socket:
        tried.append((place[0], timeout))
        if place[0] == "192.0.2.1":
            time.sleep(timeout)
            raise TimeoutError
        return connect(place, timeout)

    monkeypatch.setattr(socket, "create_connection", create_connection)
    fetcher = site.fetcher(resolve=always(["192.0.2.1", "192.0.2.1", "127.0.0.1"]), seconds=1)
    assert fetcher.fetch(site.url()) == b"photo"
    [(first, share), (second, _)] = tried
    assert (first, second) == ("192.0.2.1", "127.0.0.1")
    assert 0.4 < share <= 0.5


def test_every_address_must_be_public_before_any_is_tried(site: Site) -> None:
    def may_reach(address: str) -> bool:
        return address == "127.0.0.1"

    fetcher = site.fetcher(resolve=always(["127.0.0.1", "127.0.0.9"]), may_reach=may_reach)
    with pytest.raises(FetchError, match="not public"):
        fetcher.fetch(site.url())
    assert site.requests == []


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://photos.example/a", "photos.example"),
        ("https://photos.example:443/a", "photos.example"),
        ("http://photos.example:80/a", "photos.example"),
        ("https://photos.example:80/a", "photos.example:80"),
        ("http://photos.example:8080/a", "photos.example:8080"),
        ("https://[2606:4700::1111]/a", "[2606:4700::1111]"),
    ],
)
def test_host_has_a_port_only_if_it_is_not_the_scheme_s_own(
    url: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []

    class Line:
        def sendall(self, data: bytes) -> None:
            sent.append(data)

        def makefile(self, *_: object) -> io.BytesIO:
            return io.BytesIO(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nphoto")

        def settimeout(self, seconds: float) -> None:
            assert 0 < seconds <= 20

        def close(self) -> None:
            pass

    monkeypatch.setattr(socket, "create_connection", always(Line()))
    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", lambda _, line, **__: line)
    hosts = ["photos.example", "photos.example:80", "photos.example:8080", "2606:4700::1111"]
    fetcher = Fetcher(hosts, ["http", "https"], 1000, 20, resolve=always(["93.184.216.34"]))
    assert fetcher.fetch(url) == b"photo"
    assert f"\r\nHost: {host}\r\n".encode() in b"".join(sent)
    assert b"".join(sent).lower().count(b"host:") == 1


def test_tls_is_checked_against_the_host_s_name(site: Site) -> None:
    with pytest.raises(FetchError, match="SSL"):
        site.fetcher().fetch(site.url().replace("http:", "https:"))


@pytest.mark.parametrize(("path", "field"), [("/v1/captions", {}), ("/v1/scores", {"text": "a dog"})])
def test_a_url_in_json_is_fetched(
    site: Site, photo: MakePhoto, monkeypatch: pytest.MonkeyPatch, path: str, field: dict[str, str]
) -> None:
    site.answer = send(200, photo(77))
    monkeypatch.setattr(Fetcher, "from_settings", always(site.fetcher()))
    client = create_app(FakePredictor()).test_client()
    answer = client.post(path, json={"url": site.url(), **field})
    assert (answer.status_code, answer.get_json()["image"]["width"]) == (200, 64)
    assert client.post("/v1/heatmaps", json={"url": site.url(), "word": 0}).mimetype == "image/png"


def test_settings_reach_the_fetcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", always([(0, 0, 0, "", ("10.0.0.1", 443))]))
    client = create_app(FakePredictor(), Settings(url_hosts="Photos.example, b.example")).test_client()
    problem = client.post("/v1/captions", json={"url": "https://PHOTOS.example/a.jpg"}).get_json()
    assert (problem["status"], problem["type"]) == (422, "urn:captioner:problem:fetch")
    assert "not public" in problem["detail"]
    assert "https://" in client.post("/v1/captions", json={"url": "http://b.example/"}).get_json()["detail"]


def test_urls_are_off_by_default() -> None:
    problem = (
        create_app(FakePredictor()).test_client().post("/v1/captions", json={"url": "https://a.example/"}).get_json()
    )
    assert (problem["status"], "not fetched from URLs here" in problem["detail"]) == (422, True)


def test_a_name_that_cannot_be_resolved() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "unknown")

    with pytest.raises(CaptionerError, match="did not give the photo"):
        Fetcher([HOST], ["https"], 1000, 20, resolve=resolve).fetch(f"https://{HOST}/a.jpg")
