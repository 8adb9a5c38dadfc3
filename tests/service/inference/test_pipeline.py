"""During a reload every answer names the model that made it."""

import base64
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from captioner.decoding import DecodingOptions
from captioner.types import Caption
from service import Settings, create_app
from service.inference.cache import ResultCache
from service.inference.engine import Engine
from service.inference.jobs import Model, Result
from tests.support.fakes import FakeInfo, FakePredictor, fake_caption

MakePhoto = Callable[..., bytes]
URL = "/v1/captions"


class Signing(FakePredictor):
    """A model that signs its captions with its version, and may do something when it is shown a photo."""

    def __init__(self, version: str, then: Callable[[], None] = lambda: None) -> None:
        self.info = FakeInfo(version=version, sha256=64 * version)
        self.then = then

    def prepare(self, image: Image.Image) -> Image.Image:
        self.then()
        return image

    def captions(
        self,
        images: Sequence[Image.Image],
        options: DecodingOptions,  # noqa: ARG002
        *,
        activations: bool = False,
    ) -> list[list[Caption]]:
        return [[fake_caption(("by", self.info.version), -1.0, activations)] for _ in images]


def start(**settings: Any) -> tuple[FlaskClient, Engine]:
    """Return a client of a service whose first model is replaced while it is shown its first photo, and the engine."""
    chosen = Settings(**settings)
    engine = Engine(chosen)
    engine.use(Model(Signing("1", then=lambda: engine.use(Model(Signing("2"))))))
    return create_app(engine, chosen).test_client(), engine


@pytest.mark.parametrize("cache_bytes", [0, 10**6])
def test_one_photo(photo: MakePhoto, cache_bytes: int) -> None:
    client, _ = start(cache_bytes=cache_bytes)
    for version in ("1", "2", "2"):
        answer = client.post(URL, data=photo()).get_json()
        assert (answer["model"]["version"], answer["captions"][0]["text"]) == (version, f"by {version}")


@pytest.mark.parametrize("cache_bytes", [0, 10**6])
def test_several_photos(photo: MakePhoto, form: Callable[..., dict[str, Any]], cache_bytes: int) -> None:
    client, _ = start(cache_bytes=cache_bytes)
    for version in ("1", "2", "2"):
        answer = client.post(URL, **form(photo(1), photo(2), photo(3))).get_json()
        texts = [result["captions"][0]["text"] for result in answer["results"]]
        assert (answer["model"]["version"], texts) == (version, [f"by {version}"] * 3)


def test_open_inference(photo: MakePhoto) -> None:
    client, _ = start()
    data = [base64.b64encode(photo(red)).decode() for red in (1, 2)]
    tensor = {"name": "image", "shape": [2], "datatype": "BYTES", "data": data}
    for version in ("1", "2"):
        answer = client.post("/v2/models/fake/infer", json={"inputs": [tensor]}).get_json()
        assert answer["model_version"] == version
        assert answer["outputs"][0]["data"] == [f"by {version}"] * 2


def test_an_answer_that_was_kept(photo: MakePhoto, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model may change after the answer was looked up."""
    client, engine = start(cache_bytes=10**6)
    client.post(URL, data=photo())
    client.post(URL, data=photo())
    look_up = ResultCache.get

    def look_up_and_replace(self: ResultCache, key: Hashable) -> Result | None:
        kept = look_up(self, key)
        engine.use(Model(Signing("3")))
        return kept

    monkeypatch.setattr(ResultCache, "get", look_up_and_replace)
    answer = client.post(URL, data=photo()).get_json()
    assert answer["cached"]
    assert (answer["model"]["version"], answer["captions"][0]["text"]) == ("2", "by 2")


@pytest.fixture
def form() -> Callable[..., dict[str, Any]]:
    def make(*photos: bytes) -> dict[str, Any]:
        head = b'--line\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        data = b"".join(head + data + b"\r\n" for data in photos) + b"--line--\r\n"
        return {"data": data, "headers": {"Content-Type": "multipart/form-data; boundary=line"}}

    return make
