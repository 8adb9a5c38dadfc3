"""Several photos in one request, photos in JSON, the limit of words, and the ids of requests."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from captioner.errors import InvalidImageError
from captioner.types import Caption
from service import Settings, create_app
from service.web.parameters import CAPTIONS
from tests.support.fakes import STRANGE, FakePredictor, Recorder

pytestmark = pytest.mark.slow

MakePhoto = Callable[..., bytes]
URL = "/v1/captions"


def post_photos(client: FlaskClient, *photos: bytes, **fields: Any) -> TestResponse:
    return client.post(URL, data={"image": [(io.BytesIO(photo), "a.png") for photo in photos], **fields})


def in_json(photo: bytes, **fields: Any) -> dict[str, Any]:
    return {"image": base64.b64encode(photo).decode(), **fields}


def test_each_photo_has_its_result_or_its_problem_in_order(client: FlaskClient, photo: MakePhoto) -> None:
    response = post_photos(client, photo(1), b"no image", photo(2), photo(3)[:60])
    answer = response.get_json()
    assert response.status_code == 200
    assert list(answer) == ["id", "model", "results", "timing_ms"]
    first, foreign, second, cut = answer["results"]
    assert [result["captions"][0]["text"] for result in (first, second)] == ["a photo of red 1", "a photo of red 2"]
    assert list(first) == ["image", "captions", "attention_grid", "timing_ms"]
    assert first["image"] == {"width": 64, "height": 48, "format": "PNG"}
    assert [result["problem"]["status"] for result in (foreign, cut)] == [415, 422]
    assert foreign["problem"]["type"] == "urn:captioner:problem:unsupported-image"
    assert list(cut["problem"]) == ["type", "title", "status", "detail"]


def test_one_photo_is_answered_as_ever(client: FlaskClient, photo: MakePhoto) -> None:
    assert list(post_photos(client, photo()).get_json()) == [
        *("id", "model", "image", "captions", "attention_grid", "timing_ms"),
    ]


def test_options_hold_for_all_photos_and_belong_to_none(client: FlaskClient, photo: MakePhoto) -> None:
    answer = post_photos(client, photo(1), photo(2), num_captions="3").get_json()
    assert [len(result["captions"]) for result in answer["results"]] == [3, 3]
    refused = post_photos(client, photo(1), photo(2), beginning=STRANGE)
    assert refused.status_code == 422
    assert STRANGE in refused.get_json()["detail"]


@pytest.mark.parametrize("error", [RuntimeError("secret"), InvalidImageError("worn out")])
def test_a_photo_on_which_the_model_fails_hurts_only_itself(photo: MakePhoto, error: Exception) -> None:
    class Picky(FakePredictor):
        def captions(self, images: Any, *args: Any, **kwargs: Any) -> list[list[Caption]]:
            if any(image.getpixel((0, 0))[0] == 13 for image in images):
                raise error
            return super().captions(images, *args, **kwargs)

    response = post_photos(create_app(Picky()).test_client(), photo(12), photo(13), photo(14))
    good, bad, also_good = response.get_json()["results"]
    assert [good["captions"][0]["text"], also_good["captions"][0]["text"]] == ["a photo of red 12", "a photo of red 14"]
    assert bad["problem"]["status"] == (422 if isinstance(error, InvalidImageError) else 500)
    assert "secret" not in response.get_data(as_text=True)


def test_more_photos_than_allowed(photo: MakePhoto) -> None:
    client = create_app(FakePredictor(), Settings(max_images=2)).test_client()
    assert post_photos(client, photo(), photo()).status_code == 200
    problem = post_photos(client, photo(), photo(), photo()).get_json()
    assert (problem["status"], problem["type"]) == (400, "urn:captioner:problem:bad-upload")
    assert "several files, 3; send at most 2 images" in problem["detail"]


def test_an_empty_photo_among_others(client: FlaskClient, photo: MakePhoto) -> None:
    assert post_photos(client, photo(), b"").status_code == 400


@pytest.mark.parametrize(
    ("settings", "photos", "fields", "words"),
    [
        ({}, 1, {"search": "sample", "num_captions": "50", "max_length": "200"}, ("num_captions", "50 times 200")),
        ({}, 1, {"beam_size": "6", "max_length": "200"}, ("beam_size times max_length is 6 times 200", "1000 words")),
        ({}, 3, {"max_length": "200"}, ("beam_size", "of 3 photos", "1000 words")),
        ({"max_words": 100}, 2, {}, ("5 times 20, of 2 photos", "100 words")),
        (
            {},
            2,
            {"activations": "true", "beam_size": "1", "max_length": "150"},
            ("1 times 150, of 2 photos", "at most 200"),
        ),
    ],
)
def test_words_are_limited(
    photo: MakePhoto, settings: dict[str, int], photos: int, fields: dict[str, str], words: tuple[str, ...]
) -> None:
    client = create_app(FakePredictor(), Settings(**settings)).test_client()  # type: ignore[arg-type]
    response = post_photos(client, *[photo()] * photos, **fields)
    assert response.status_code == 422, response.get_json()
    for word in words:
        assert word in response.get_json()["detail"]


def test_as_many_words_as_allowed(photo: MakePhoto) -> None:
    client = create_app(FakePredictor(), Settings(max_words=100)).test_client()
    assert post_photos(client, photo()).status_code == 200
    assert post_photos(client, photo(), photo(), beam_size="1", max_length="50").status_code == 200


def test_json_carries_photo_and_options(photo: MakePhoto) -> None:
    recorder = Recorder()
    client = create_app(recorder).test_client()
    given = {"beam_size": 3, "length_penalty": 1e-05, "beginning": "a dog", "activations": True}
    answer = client.post(URL, json=in_json(photo(7), **given))
    assert answer.status_code == 200
    assert answer.get_json()["captions"][0]["text"] == "a photo of red 7"
    assert "activations" in answer.get_json()["captions"][0]
    [options] = recorder.options
    assert (options.beam_size, options.length_penalty, options.beginning) == (3, 1e-05, "a dog")
    scored = client.post("/v1/scores", json=in_json(photo(), text="two dogs"))
    assert scored.get_json()["score"]["text"] == "two dogs"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"beam_size": "3"}, ("beam_size is '3'", "whole number from 1 to 50")),
        ({"beam_size": 51}, ("beam_size is 51", "1 to 50")),
        ({"beam_size": True}, ("beam_size is true",)),
        ({"beam_size": None}, ("beam_size is null",)),
        ({"beam_size": [3]}, ("beam_size is [3]",)),
        ({"beam_size": 3.0}, ("beam_size is 3.0",)),
        ({"length_penalty": 1e300}, ("length_penalty is 1e+300", "0 to 2")),
        ({"activations": "true"}, ("activations is 'true'", "true or false")),
        ({"activations": 1}, ("activations is 1",)),
        ({"beginning": 5}, ("beginning is 5",)),
        ({"beginning": "a" * 201}, ("up to 200 characters",)),
        ({"beam": 3}, ("'beam' is not a parameter",)),
    ],
)
def test_json_that_does_not_fit_is_explained(
    client: FlaskClient, photo: MakePhoto, fields: dict[str, Any], words: tuple[str, ...]
) -> None:
    response = client.post(URL, json=in_json(photo(), **fields))
    assert response.status_code == 422
    for word in words:
        assert word in response.get_json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"image"',
        b"{}",
        b"\xff\xfe",
        b'{"image": "a", "image": "b"}',
        b'{"image": NaN}',
        b'{"image": "\\ud800"}',
        b"[" * 100_000,
        b'{"image": ' + b"9" * 5000 + b"}",
        b'{"image": 5}',
        b'{"image": "no base64!"}',
        b'{"image": ""}',
        b'{"image": ["aGk="]}',
        b'{"image": "aGk=", "url": "https://example.org/a.jpg"}',
        b'{"url": 5}',
    ],
)
def test_json_that_cannot_be_read(client: FlaskClient, body: bytes) -> None:
    response = client.post(URL, data=body, content_type="application/json")
    assert (response.status_code, response.get_json()["type"]) == (400, "urn:captioner:problem:bad-upload")
    assert len(response.get_json()["detail"]) < 300


def test_an_option_in_query_and_json(client: FlaskClient, photo: MakePhoto) -> None:
    response = client.post(URL + "?beam_size=3", json=in_json(photo(), beam_size=3))
    assert "given 2 times" in response.get_json()["detail"]


def test_the_largest_photo_fits_into_json_and_no_larger(photo: MakePhoto) -> None:
    data = photo(image_format="BMP", size=(560, 560))
    client = create_app(FakePredictor(), Settings(max_upload_bytes=len(data))).test_client()
    assert client.post(URL, json=in_json(data)).status_code == 200
    for more in (1, 200_000):
        response = client.post(URL, json=in_json(data + bytes(more)))
        assert (response.status_code, response.mimetype) == (413, "application/problem+json")


def test_every_kind_reads_from_json_what_its_schema_allows() -> None:
    for name, kind in CAPTIONS.items():
        schema = kind.schema
        low = schema.get("minimum", 1)
        samples = {
            "integer": [low, schema.get("maximum")],
            "number": [low, schema.get("maximum"), 0.5],
            "boolean": [True, False],
            "string": schema.get("enum", ["x" * schema.get("maxLength", 0)]),
        }
        for value in samples[schema["type"]]:
            assert kind.read_json(json.loads(json.dumps(value))) == value, name


@pytest.mark.parametrize("given", ["a", "trace-1.2_3:4", "x" * 64])
def test_a_safe_request_id_is_echoed(client: FlaskClient, photo: MakePhoto, given: str) -> None:
    response = client.post(URL, data=photo(), headers={"X-Request-Id": given})
    assert response.headers["X-Request-Id"] == response.get_json()["id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "<b>", "é", "a\tb", "{}", "a/b"])
def test_any_other_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    response = client.get("/livez", headers={"X-Request-Id": given})
    assert response.headers["X-Request-Id"].startswith("req_")
