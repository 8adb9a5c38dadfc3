"""Ollama's API, called by its own Python client and as applications call it, at a real server."""

import base64
import hashlib
import http.client
import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ollama
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from captioner.predictor import CaptionPredictor
from service import Settings, create_app
from service.inference.engine import Engine
from service.web.adapters.ollama import OPTIONS
from service.web.adapters.prompting import DETERMINISTIC
from tests.support.fakes import FakePredictor, Recorder

pytestmark = pytest.mark.slow
MakePhoto = Callable[..., bytes]
Serve = Callable[[Flask], AbstractContextManager[str]]
NAME = "fake:1.2.3"
# What its client would have a language model heed, and applications send.
IGNORED = {"num_ctx": 4096, "stop": ["\n\n"], "repeat_penalty": 1.1, "mirostat": 0, "main_gpu": 0, "use_mmap": True}


@pytest.fixture
def url(app: Flask, serve: Serve) -> Iterator[str]:
    with serve(app) as found:
        yield found


@pytest.fixture
def client(url: str) -> Iterator[ollama.Client]:
    with ollama.Client(url) as made:
        yield made


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def post(url: str, path: str, body: Any, **headers: str) -> tuple[int, str, bytes]:
    """Send JSON as curl does, whose content type is that of a form; return status, content type and body."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", path, json.dumps(body), {**kind, **headers})
    response = connection.getresponse()
    found = response.status, response.headers["Content-Type"], response.read()
    connection.close()
    return found


class TestItsClient:
    """The package ``ollama``."""

    @pytest.mark.parametrize("way", ["bytes", "path", "text", "base64"])
    def test_generates_from_an_image(self, client: ollama.Client, photo: MakePhoto, tmp_path: Path, way: str) -> None:
        file = tmp_path / "photo.png"
        file.write_bytes(photo(7))
        image: Any = {"bytes": photo(7), "path": file, "text": str(file), "base64": base64_of(photo(7))}[way]
        answer = client.generate(model="llava", prompt="Describe this.", images=[image])
        assert (answer.response, answer.done, answer.done_reason) == ("a photo of red 7", True, "stop")
        assert answer.model == NAME

    def test_streams_words(self, client: ollama.Client, photo: MakePhoto) -> None:
        parts = list(client.generate(model=NAME, prompt="What is it?", images=[photo(7)], stream=True))
        assert [part.response for part in parts] == ["a", " photo", " of", " red", " 7", ""]
        assert [part.done for part in parts] == [False] * 5 + [True]
        assert (parts[-1].done_reason, parts[-1].eval_count) == ("stop", 5)

    @pytest.mark.parametrize("stream", [False, True])
    def test_chats(self, client: Any, photo: MakePhoto, stream: bool) -> None:
        messages = [
            {"role": "system", "content": "You describe images."},
            {"role": "user", "content": "And this?", "images": [photo(1)]},
            {"role": "assistant", "content": "a photo of red 1"},
            {"role": "user", "content": "And this?", "images": [photo(2)]},
            {"role": "assistant", "content": "a photo of red 2"},
            {"role": "user", "content": "Once more, please."},
        ]
        found: Any = client.chat(model=NAME, messages=messages, stream=stream)
        parts: list[Any] = list(found) if stream else [found]
        assert "".join(part.message.content for part in parts) == "a photo of red 2"
        assert {part.message.role for part in parts} == {"assistant"}
        assert parts[-1].done_reason == "stop"

    def test_finds_the_model(self, client: ollama.Client) -> None:
        [listed] = client.list().models
        [loaded] = client.ps().models
        assert (listed.model, loaded.model, loaded.name) == (NAME, NAME, NAME)
        assert (listed.digest, int(listed.size or 0) > 10**6) == (64 * "f", True)
        assert listed.modified_at is not None
        for name in ("fake", NAME, "fake:latest"):
            shown = client.show(name)
            assert shown.capabilities == ["completion", "vision"]
            assert (shown.modelinfo or {})["captioner.vocabulary"] == 5

    def test_is_told_what_is_wrong(self, client: ollama.Client, photo: MakePhoto) -> None:
        calls: list[tuple[int, str, Callable[[], object]]] = [
            (404, "not found", lambda: client.show("llava")),
            (400, "no image", lambda: client.generate(model=NAME, prompt="Why is the sky blue?")),
            (400, "no image", lambda: client.chat(model=NAME, messages=[{"role": "user", "content": "Hello"}])),
            (415, "not a supported image", lambda: client.generate(model=NAME, images=[b"text"])),
            (422, "temperature is", lambda: client.generate(model=NAME, images=[photo()], options={"temperature": 99})),
            (400, "at most 8", lambda: client.generate(model=NAME, images=[photo()] * 9)),
            (415, "not a supported image", lambda: list(client.generate(model=NAME, images=[b"text"], stream=True))),
            (404, "nothing at this address", lambda: client.pull("llava")),
        ]
        for status, words, call in calls:
            with pytest.raises(ollama.ResponseError) as caught:
                call()
            assert (caught.value.status_code, words in caught.value.error) == (status, True), caught.value

    def test_sends_a_key(self, serve: Serve, photo: MakePhoto, tmp_path: Path) -> None:
        keys = tmp_path / "keys"
        keys.write_text(hashlib.sha256(b"secret").hexdigest(), encoding="utf-8")
        with serve(create_app(FakePredictor(), Settings(api_keys=keys))) as url:
            with ollama.Client(url, headers={"Authorization": "Bearer secret"}) as client:
                assert client.generate(model=NAME, images=[photo(3)]).response == "a photo of red 3"
            with ollama.Client(url) as client, pytest.raises(ollama.ResponseError, match="an API key is needed"):
                client.list()


class TestApplications:
    """Requests of exactly the shape that applications send."""

    def test_photoprism(self, url: str, encoded_photo: str) -> None:
        request = {  # by its ApiRequest, whose fields without omitempty are always there
            "id": "b0b8a4a4-1fbd-4b55-9d48-0a3f0d8b3d0c",
            "model": "fake:latest",
            "prompt": "Create a caption with exactly one sentence in the active voice that describes the main subject.",
            "suffix": "",
            "options": {"temperature": 0.1},
            "think": False,
            "stream": False,
            "images": [encoded_photo],
        }
        status, kind, body = post(url, "/api/generate", request, **{"Content-Type": "application/json"})
        assert (status, kind) == (200, "application/json")
        lines = [json.loads(line) for line in body.splitlines() if line]  # it takes the last one, and no others
        assert (lines[-1]["response"], lines[-1]["done"]) == ("a photo of red 199", True)
        assert all(isinstance(lines[-1][name], int) for name in ("total_duration", "eval_count", "eval_duration"))

    def test_immich_analyze(self, url: str, encoded_photo: str) -> None:
        message = {"role": "user", "content": "Create a detailed description.", "images": [encoded_photo]}
        request = {"model": "qwen3-vl:4b-thinking-q4_K_M", "messages": [message], "stream": False}
        _, _, body = post(url, "/api/chat", request)
        assert json.loads(body)["message"]["content"] == "a photo of red 199"

    def test_a_plugin_for_wordpress(self, url: str, encoded_photo: str) -> None:
        request = {"model": "llava", "prompt": "Write alt text.", "images": [encoded_photo], "stream": False}
        _, _, body = post(url, "/api/generate", request)
        assert json.loads(body)["response"] == "a photo of red 199"

    def test_open_webui(self, url: str, encoded_photo: str) -> None:
        request = {
            "model": NAME,
            "messages": [{"role": "user", "content": "What is it?", "images": [encoded_photo]}],
            "options": {"temperature": 0.0, "num_predict": 128, **IGNORED},
            "keep_alive": "5m",
            "format": {"type": "object"},
            "think": False,
            "tools": [],
            "logprobs": None,
        }
        status, kind, body = post(url, "/api/chat", request)
        assert (status, kind) == (200, "application/x-ndjson")
        parts = [json.loads(line) for line in body.splitlines()]
        assert "".join(part["message"]["content"] for part in parts) == "a photo of red 199"

    def test_a_model_is_loaded_and_unloaded(self, url: str) -> None:
        for path, empty in (("/api/generate", {"prompt": ""}), ("/api/chat", {"messages": []})):
            for body in ({"model": NAME, **empty}, {"model": NAME, "keep_alive": 0, **empty}, {"model": NAME}):
                status, _, answer = post(url, path, body)
                found = json.loads(answer)
                assert (status, found["done"], found["done_reason"]) == (200, True, "load")

    @pytest.fixture
    def encoded_photo(self) -> str:
        """A JPEG of 720 pixels in base64, as thumbnails are sent."""
        file = io.BytesIO()
        Image.new("RGB", (720, 540), (200, 80, 40)).save(file, "JPEG", quality=92)
        return base64_of(file.getvalue())


class TestOptions:
    """What the options do."""

    def asked(self, photo: bytes, **options: Any) -> Any:
        recorder = Recorder()
        body = {"images": [base64_of(photo)], "options": options, "stream": False}
        response = create_app(recorder).test_client().post("/api/generate", json=body)
        assert response.status_code == 200, response.get_json()
        [found] = recorder.options
        return found

    def test_without_any_the_likeliest_caption_is_found(self, photo: MakePhoto) -> None:
        usual = Settings().options()
        cold = {"temperature": DETERMINISTIC, "top_k": 40, "top_p": 0.9, "seed": 7, "num_predict": -1}
        for given in ({}, {"temperature": 0}, cold, IGNORED, {"temperature": None, "num_predict": 500}):
            assert self.asked(photo(), **given) == usual

    def test_a_temperature_draws(self, photo: MakePhoto) -> None:
        found = self.asked(photo(), temperature=0.7, top_k=40, top_p=0.9, seed=42.0, num_predict=9)
        assert (found.search, found.temperature, found.top_k, found.top_p) == ("sample", 0.7, 40, 0.9)
        assert (found.seed, found.max_length) == (42, 9)
        unbounded = self.asked(photo(), temperature=1, top_k=-1, seed=-1)
        assert (unbounded.top_k, unbounded.top_p, unbounded.seed) == (0, 1.0, None)
        assert 0 < self.asked(photo(), temperature=1, top_p=0).top_p < 1e-6

    def test_a_caption_gets_shorter_but_never_longer(self, photo: MakePhoto) -> None:
        usual = Settings().max_length
        for given, most in ((3, 3), (usual, usual), (usual + 1, usual), (0, usual), (-2, usual)):
            assert self.asked(photo(), num_predict=given).max_length == most

    @pytest.mark.parametrize("name", OPTIONS)
    @pytest.mark.parametrize("value", ["x", True, [], {}, 1e300, 2**70])
    def test_values_that_do_not_fit(self, app: Flask, photo: MakePhoto, name: str, value: Any) -> None:
        body = {"images": [base64_of(photo())], "options": {name: value}}
        response = app.test_client().post("/api/generate", json=body)
        assert (response.status_code, list(response.get_json())) == (422, ["error"])
        assert response.get_json()["error"].startswith(f"{name} is ")


class TestRequests:
    """What is taken and what is refused."""

    @pytest.fixture
    def client(self, app: Flask) -> FlaskClient:
        return app.test_client()

    def test_several_images_get_a_line_each(self, client: FlaskClient, photo: MakePhoto) -> None:
        body = {"images": [base64_of(photo(red)) for red in (1, 2, 3)], "stream": True}
        parts = [json.loads(line) for line in client.post("/api/generate", json=body).text.splitlines()]
        lines = "".join(part["response"] for part in parts)
        assert lines.splitlines() == ["a photo of red 1", "a photo of red 2", "a photo of red 3"]
        assert parts[-1]["eval_count"] == 15

    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            ({"images": "x"}, 400, "images must be a list"),
            ({"images": [3]}, 400, "images must be a text"),
            ({"images": ["no base64"]}, 400, "images must be a text"),
            ({"images": ["PHN2Zy8+"]}, 415, "SVG"),
            ({"images": ["PHN2Zy8+"], "options": [1]}, 422, "options must be a JSON object"),
            ({"images": ["PHN2Zy8+"], "stream": "yes"}, 422, "stream is 'yes'"),
            ({"messages": "x"}, 400, "messages must be a list of objects"),
            ({"messages": [3]}, 400, "messages must be a list of objects"),
        ],
    )
    def test_what_does_not_fit(self, client: FlaskClient, body: dict[str, Any], status: int, words: str) -> None:
        response = client.post("/api/chat" if "messages" in body else "/api/generate", json=body)
        assert (response.status_code, response.mimetype) == (status, "application/json")
        assert words in response.get_json()["error"]
        assert response.headers["Cache-Control"] == "no-store"

    def test_before_there_is_a_model(self, photo: MakePhoto) -> None:
        client = create_app(Engine(Settings())).test_client()
        asked = [client.get("/api/tags"), client.post("/api/generate", json={"images": [base64_of(photo())]})]
        assert [response.status_code for response in asked] == [503, 503]
        assert all(response.headers["Retry-After"] for response in asked)

    def test_durations_are_what_they_are_called(self, client: FlaskClient, photo: MakePhoto) -> None:
        body = {"images": [base64_of(photo(size=(900, 700)))], "stream": False}
        found = client.post("/api/generate", json=body).get_json()
        assert (found["load_duration"], found["prompt_eval_count"]) == (0, 0)
        assert 0 < found["prompt_eval_duration"] + found["eval_duration"] < found["total_duration"] < 60e9


def test_a_real_model_s_caption_and_where_it_is_cut(
    small_checkpoint_file: Path, photo: MakePhoto, serve: Serve
) -> None:
    predictor = CaptionPredictor.from_checkpoint(small_checkpoint_file)
    expected = predictor.caption(photo())
    with serve(create_app(predictor)) as url, ollama.Client(url) as client:
        whole = client.generate(model="small", images=[photo()])
        words = [part.response for part in client.generate(model="small", images=[photo()], stream=True)]
        short = client.generate(model="small", images=[photo()], options={"num_predict": 1})
        first, second = (
            client.generate(model="small", images=[photo()], options={"temperature": 2.0, "seed": 5}) for _ in range(2)
        )
    assert whole.response == "".join(words) == expected.text
    assert whole.eval_count == len(expected.words)
    assert (short.done_reason, short.eval_count) == ("length", 1)
    assert first.response == second.response
