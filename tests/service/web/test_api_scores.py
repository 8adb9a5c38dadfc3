"""POST /v1/scores: a sentence of the client's own, as if it were the caption of the image."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service import create_app
from tests.support.fakes import CELLS, STRANGE, BlindPredictor, Recorder

MakePhoto = Callable[..., bytes]
URL = "/v1/scores"


def post_form(client: FlaskClient, data: bytes, **fields: Any) -> TestResponse:
    return client.post(URL, data={"image": (io.BytesIO(data), "photo.png"), **fields})


def test_answers_exactly_the_documented_shape(client: FlaskClient, photo: MakePhoto) -> None:
    for response in (
        post_form(client, photo(), text="two dogs run"),
        client.post(URL, query_string={"text": "two dogs run"}, data=photo()),
    ):
        answer = response.get_json()
        assert list(answer) == ["id", "model", "image", "score", "attention_grid", "timing_ms"]
        assert answer["image"] == {"width": 64, "height": 48, "format": "PNG"}
        assert answer["attention_grid"] == [7, 7]
        score = answer["score"]
        assert list(score) == ["text", "log_prob", "finished", "confidence", "needs_review", "words"]
        assert (score["text"], score["log_prob"], score["finished"]) == ("two dogs run", -23.14, True)
        assert [list(word) for word in score["words"]] == [["text", "log_prob", "confidence", "attention", "known"]] * 3
        assert [word["log_prob"] for word in score["words"]] == [-0.25, -0.5, -0.75]


def test_words_carry_attention_and_whether_they_are_known(client: FlaskClient, photo: MakePhoto) -> None:
    words = post_form(client, photo(), text=f"two {STRANGE} run").get_json()["score"]["words"]
    assert [(word["text"], word["known"]) for word in words] == [("two", True), (STRANGE, False), ("run", True)]
    for word, (row, col) in zip(words, CELLS, strict=False):
        assert word["attention"].index(max(word["attention"])) == row * 7 + col


def test_only_scores_say_what_is_known(client: FlaskClient, photo: MakePhoto) -> None:
    [caption] = client.post("/v1/captions", data=photo()).get_json()["captions"]
    assert not any("known" in word for word in caption["words"])


def test_activations_come_when_they_are_asked_for(client: FlaskClient, photo: MakePhoto) -> None:
    score = post_form(client, photo(), text="two dogs", activations="true").get_json()["score"]
    assert score["activations"] == {"language.0.forget": [[0.0, 0.1429, 0.2857], [0.4286, 0.5714, 0.7143]]}
    assert "activations" not in post_form(client, photo(), text="two dogs").get_json()["score"]


def test_a_model_without_attention_answers_null(photo: MakePhoto) -> None:
    answer = post_form(create_app(BlindPredictor()).test_client(), photo(), text="two dogs").get_json()
    assert answer["attention_grid"] is None
    assert [word["attention"] for word in answer["score"]["words"]] == [None, None]


def test_captions_and_scores_share_one_thread(photo: MakePhoto) -> None:
    recorder = Recorder()
    client = create_app(recorder).test_client()
    assert client.post("/v1/captions", data=photo()).status_code == 200
    assert post_form(client, photo(), text="two dogs").status_code == 200
    assert len(recorder.threads) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ("text is missing", "1 to 1000 characters")),
        ({"text": ""}, ("text is ''", "1 to 1000 characters")),
        ({"text": "   "}, ("0 words",)),
        ({"text": "x" * 1001}, ("text is 'xxx", "1 to 1000 characters")),
        ({"text": ["a dog", "a cat"]}, ("text is given 2 times",)),
        ({"text": "a dog", "beam_size": "3"}, ("'beam_size' is not a parameter; allowed: text, activations",)),
        ({"text": "a dog", "activations": "1"}, ("activations is '1'", "true or false")),
    ],
)
def test_what_does_not_fit_is_explained(
    client: FlaskClient, photo: MakePhoto, fields: dict[str, Any], words: tuple[str, ...]
) -> None:
    for response in (post_form(client, photo(), **fields), client.post(URL, query_string=fields, data=photo())):
        problem = response.get_json()
        assert (response.status_code, problem["type"]) == (422, "urn:captioner:problem:option")
        assert len(problem["detail"]) < 200
        for word in words:
            assert word in problem["detail"]


@pytest.mark.parametrize("text", ["x" * 1000, "é" * 1000, "<b>dogs</b> & \x00 ' \" \u202e 😀"])
def test_any_text_of_an_allowed_length_comes_back_as_it_is(client: FlaskClient, photo: MakePhoto, text: str) -> None:
    assert post_form(client, photo(), text=text).get_json()["score"]["text"] == text


@pytest.mark.parametrize(
    ("data", "status"), [({}, 400), ({"image": "text"}, 400), ({"image": (io.BytesIO(b"x"), "a")}, 415)]
)
def test_without_a_photo_there_is_no_score(client: FlaskClient, data: dict[str, Any], status: int) -> None:
    response = client.post(URL, data={"text": "two dogs", **data}, content_type="multipart/form-data")
    assert response.status_code == status
    assert client.post(URL, query_string={"text": "two dogs"}).status_code == 400
    assert response.mimetype == "application/problem+json"
