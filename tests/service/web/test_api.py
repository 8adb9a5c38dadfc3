"""POST /v1/captions: what it takes, what it answers, and in which thread the model runs."""

import io
import json
import math
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from captioner.types import Caption
from service import Settings, create_app
from service.inference.predictor import Predictor
from tests.support.fakes import CELLS, BlindPredictor, FakePredictor, Recorder, SurePredictor

MakePhoto = Callable[..., bytes]
Encode = Callable[[bytes], dict[str, Any]]
URL = "/v1/captions"


def post_form(client: FlaskClient, data: bytes, name: str = "photo.png", **fields: str) -> TestResponse:
    return client.post(URL, data={"image": (io.BytesIO(data), name), **fields})


def test_answers_exactly_the_documented_shape(client: FlaskClient, photo: MakePhoto) -> None:
    answer = post_form(client, photo(red=7)).get_json()
    assert list(answer) == ["id", "model", "image", "captions", "attention_grid", "timing_ms"]
    assert answer["model"] == {"name": "fake", "version": "1.2.3"}
    assert answer["image"] == {"width": 64, "height": 48, "format": "PNG"}
    assert answer["attention_grid"] == [7, 7]
    assert list(answer["timing_ms"]) == ["decode", "inference", "total"]
    [caption] = answer["captions"]
    assert list(caption) == ["text", "log_prob", "finished", "confidence", "needs_review", "words"]
    assert (caption["confidence"], caption["needs_review"]) == (None, None)
    assert (caption["text"], caption["log_prob"], caption["finished"]) == ("a photo of red 7", -4.0, True)
    assert [word["text"] for word in caption["words"]] == ["a", "photo", "of", "red", "7"]


def test_words_carry_the_model_s_attention_row_by_row(client: FlaskClient, photo: MakePhoto) -> None:
    words = post_form(client, photo()).get_json()["captions"][0]["words"]
    for word, (row, col) in zip(words, CELLS, strict=True):
        assert list(word) == ["text", "log_prob", "confidence", "attention"]
        assert len(word["attention"]) == 49
        assert word["attention"].index(max(word["attention"])) == row * 7 + col
        assert sum(word["attention"]) == pytest.approx(1, abs=1e-4)


def test_activations_come_when_they_are_asked_for(client: FlaskClient, photo: MakePhoto) -> None:
    [caption] = post_form(client, photo(), activations="true").get_json()["captions"]
    assert caption["activations"] == {
        "language.0.forget": [[round((3 * t + n) / 7, 4) for n in range(3)] for t in range(5)]
    }
    [caption] = post_form(client, photo(), activations="false").get_json()["captions"]
    assert "activations" not in caption


def test_times_are_finite_and_add_up(client: FlaskClient, photo: MakePhoto) -> None:
    times = post_form(client, photo()).get_json()["timing_ms"]
    assert all(math.isfinite(value) and value >= 0 for value in times.values())
    assert times["decode"] + times["inference"] <= times["total"] + 0.2  # rounding


@pytest.mark.parametrize(
    "content_type",
    [None, "image/jpeg", "image/made-up", "application/octet-stream", "application/x-www-form-urlencoded"],
)
def test_takes_raw_bytes_whatever_the_client_calls_them(
    client: FlaskClient, photo: MakePhoto, content_type: str | None
) -> None:
    response = client.post(URL, data=photo(), content_type=content_type)
    assert response.status_code == 200
    assert response.get_json()["image"]["format"] == "PNG"


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "<script>alert(1)</script>.png", "a%0D%0AX: y.png", "con.exe", "x" * 5000, "😀"],
)
def test_file_names_do_not_matter(client: FlaskClient, photo: MakePhoto, name: str) -> None:
    response = post_form(client, photo(), name)
    assert response.status_code == 200
    assert name not in response.get_data(as_text=True)


def test_size_is_that_of_the_upright_photo(client: FlaskClient, photo: MakePhoto) -> None:
    answer = client.post(URL, data=photo(image_format="JPEG", orientation=6)).get_json()
    assert answer["image"] == {"width": 48, "height": 64, "format": "JPEG"}


def test_each_of_many_requests_gets_its_own_answer_from_one_thread(photo: MakePhoto) -> None:
    recorder = Recorder()
    app = create_app(recorder, Settings(max_waiting=64))

    def caption(red: int) -> str:
        return str(app.test_client().post(URL, data=photo(red)).get_json()["captions"][0]["text"])

    with ThreadPoolExecutor(16) as clients:
        texts = list(clients.map(caption, range(64)))
    assert texts == [f"a photo of red {red}" for red in range(64)]
    assert len(recorder.threads) == 1
    assert recorder.threads.isdisjoint({threading.get_ident()})


def test_a_full_queue_is_busy_and_then_free_again(photo: MakePhoto) -> None:
    started, finish = threading.Event(), threading.Event()

    class Slow(FakePredictor):
        def captions(self, *args: Any, **kwargs: Any) -> list[list[Caption]]:
            started.set()
            finish.wait(10)
            return super().captions(*args, **kwargs)

    app = create_app(Slow(), Settings(max_waiting=1))
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(lambda: app.test_client().post(URL, data=photo()).status_code)
        assert started.wait(10)
        busy = app.test_client().post(URL, data=photo())
        alive = app.test_client().get("/livez")
        finish.set()
        assert first.result() == 200
    assert (busy.status_code, busy.headers["Retry-After"], alive.status_code) == (503, "1", 200)
    assert app.test_client().post(URL, data=photo()).status_code == 200


def test_a_failing_image_does_not_keep_its_place(predictor: Predictor, photo: MakePhoto) -> None:
    client = create_app(predictor, Settings(max_waiting=1)).test_client()
    for _ in range(3):
        assert client.post(URL, data=b"no image").status_code == 415
    assert client.post(URL, data=photo()).status_code == 200


@pytest.mark.parametrize(("confidence", "needs_review"), [(0.123456, True), (0.9, False)])
def test_a_calibrated_model_says_how_sure_it_is(photo: MakePhoto, confidence: float, needs_review: bool) -> None:
    client = create_app(SurePredictor(confidence, needs_review)).test_client()
    [caption] = client.post(URL, data=photo()).get_json()["captions"]
    assert (caption["confidence"], caption["needs_review"]) == (round(confidence, 4), needs_review)
    assert [word["confidence"] for word in caption["words"]] == [0.5, 0.25, 0.1667, 0.125, 0.1]
    scored = client.post("/v1/scores", data=photo(), query_string={"text": "two blorf"}).get_json()["score"]
    assert (scored["confidence"], scored["needs_review"]) == (None, None)
    assert [word["confidence"] for word in scored["words"]] == [0.5, None]


def test_a_model_without_attention_answers_null(photo: MakePhoto) -> None:
    answer = create_app(BlindPredictor()).test_client().post(URL, data=photo()).get_json()
    assert answer["attention_grid"] is None
    assert all(word["attention"] is None for word in answer["captions"][0]["words"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_a_number_is_never_sent(photo: MakePhoto, value: float) -> None:
    class Broken(FakePredictor):
        def captions(self, *args: Any, **kwargs: Any) -> list[list[Caption]]:
            return [[replace(super().captions(*args, **kwargs)[0][0], log_prob=value)]]

    response = create_app(Broken()).test_client().post(URL, data=photo())
    assert response.status_code == 500
    assert json.loads(response.data, parse_constant=pytest.fail)["title"] == "Internal Server Error"


def test_no_upload_reaches_the_disk(
    client: FlaskClient, photo: MakePhoto, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a temporary file was opened")

    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", refuse)
    big = photo(image_format="BMP", size=(560, 560))  # more than Werkzeug keeps in memory by itself
    assert len(big) > 900_000
    assert client.post(URL, **encode(big)).status_code == 200
    assert client.post(URL, data=big).status_code == 200


def test_tells_that_it_lives_and_is_ready(client: FlaskClient) -> None:
    assert client.get("/livez").get_json() == {"status": "alive"}
    ready = client.get("/readyz").get_json()
    assert ready == {"status": "ready", "model": {"name": "fake", "version": "1.2.3"}}


def test_applications_share_nothing(predictor: Predictor) -> None:
    apps = [create_app(predictor, Settings(max_upload_bytes=size)) for size in (1024, 4096)]
    assert [isinstance(app, Flask) for app in apps] == [True, True]
    limits = [app.config["MAX_CONTENT_LENGTH"] for app in apps]
    assert limits[1] - limits[0] == 3072
