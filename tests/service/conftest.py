"""A six-line model, the application around it, and a real server around that."""

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from captioner.decoding import DecodingOptions
from captioner.types import Caption, Word
from service import Settings, create_app
from service.batching import Predictor
from service.server import addresses, open_server

Serve = Callable[[Flask], AbstractContextManager[str]]

CELLS = ((0, 0), (1, 5), (3, 3), (6, 0), (6, 6))  # where the fake looks for its words, as (row, col)


@dataclass(frozen=True)
class FakeInfo:
    name: str = "fake"
    version: str = "1.2.3"


def fake_caption(image: Image.Image) -> Caption:
    red = image.convert("RGB").getpixel((0, 0))[0]  # type: ignore[index]
    words = ("a", "photo", "of", "red", str(red))
    attention = np.full((len(words), 7, 7), 0.4 / 48, np.float32)
    for word, (row, col) in enumerate(CELLS):
        attention[word, row, col] = 0.6
    return Caption(
        text=" ".join(words),
        words=tuple(Word(text, -0.25 * (i + 1)) for i, text in enumerate(words)),
        log_prob=-4.0,
        attention=attention,
        finished=True,
    )


class FakePredictor:
    info = FakeInfo()

    def captions(self, images: Sequence[Image.Image], options: DecodingOptions) -> list[list[Caption]]:
        best = [fake_caption(image) for image in images]
        return [[replace(caption, log_prob=-4.0 - k) for k in range(options.num_captions)] for caption in best]


@pytest.fixture
def predictor() -> Predictor:
    return FakePredictor()


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
            server.trigger.pull_trigger(lambda: server.asyncore.close_all(server._map, ignore_all=True))
            loop.join()
            server.task_dispatcher.shutdown()

    return run
