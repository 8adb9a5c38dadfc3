"""A model of a few lines, the application around it, and a real server around that."""

import io
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from service import Settings, create_app
from service.inference.predictor import Predictor
from service.server import addresses, open_server, stop_server
from tests.support.fakes import FakePredictor

Serve = Callable[[Flask], AbstractContextManager[str]]
OpenPage = Callable[..., Page]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera that shows a test picture
    "--use-fake-ui-for-media-stream",
]


@pytest.fixture
def predictor(request: pytest.FixtureRequest) -> Predictor:
    """Return the model behind the service, which a test may choose by indirect parametrisation."""
    model: Predictor = getattr(request, "param", FakePredictor())
    return model


@pytest.fixture
def settings() -> Settings:
    return Settings(port=0, max_upload_bytes=2**20)


@pytest.fixture
def app(predictor: Predictor, settings: Settings) -> Flask:
    return create_app(predictor, settings)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def photo() -> Callable[..., bytes]:
    """Return a maker of photos: one colour, one size, one format."""

    def make(
        red: int = 200, size: tuple[int, int] = (64, 48), image_format: str = "PNG", orientation: int = 1
    ) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        Image.new("RGB", size, (red, 80, 40)).save(file, image_format, exif=exif)
        return file.getvalue()

    return make


@pytest.fixture
def encode() -> Callable[[bytes], dict[str, Any]]:
    """Return what puts a file into a form by hand: Werkzeug's own encoder uses temporary files."""

    def make(data: bytes) -> dict[str, Any]:
        head = b'--line\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        return {
            "data": head + data + b"\r\n--line--\r\n",
            "headers": {"Content-Type": "multipart/form-data; boundary=line"},
        }

    return make


@pytest.fixture
def serve(settings: Settings) -> Serve:
    """Return a context that runs an application in a real server, and gives its URL."""

    @contextmanager
    def run(app: Flask) -> Iterator[str]:
        server = open_server(app, settings)
        loop = threading.Thread(target=server.run)
        loop.start()
        try:
            yield addresses(server)[0]
        finally:
            stop_server(server)
            loop.join()

    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, app: Flask, serve: Serve) -> Iterator[OpenPage]:
    """Return what opens the page, and fail afterwards if it complained or asked anyone else for anything."""
    complaints: list[str] = []
    expected: list[str] = []

    with serve(app) as url:

        def watch(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not any(text in message.text for text in expected):
                complaints.append(message.text)

        def check(request: Request) -> None:
            if urlsplit(request.url).netloc not in (urlsplit(url).netloc, "") and request.url[:5] != "blob:":
                complaints.append(f"asked {request.url}")

        def open_it(path: str = "/", refused: str = "", failed: str = "", **options: Any) -> Page:
            """Open the page; the console may complain of the status `refused` and of the network's error `failed`."""
            expected.extend([f"status of {refused}"] if refused else [])
            expected.extend([failed] if failed else [])
            page = browser.new_page(**options)
            page.on("console", watch)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", check)
            page.goto(url + path)
            return page

        yield open_it
        for context in browser.contexts:
            context.close()
    assert complaints == []
