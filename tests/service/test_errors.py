"""Every error: its status, its problem+json, and a sentence that helps; and the headers of every answer."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from captioner import errors as library
from captioner.types import Caption
from service import create_app
from service.app import CONTENT_SECURITY_POLICY
from service.errors import STATUS
from service.inference.predictor import Predictor

pytestmark = pytest.mark.slow

MakePhoto = Callable[..., bytes]
Encode = Callable[[bytes], dict[str, Any]]
URL = "/v1/captions"
PART = b'--line\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nbytes'
END = b"\r\n--line--\r\n"


def assert_problem(response: TestResponse, status: int, *words: str) -> None:
    problem = response.get_json()
    assert response.status_code == status, problem
    assert response.mimetype == "application/problem+json"
    assert list(problem) == ["type", "title", "status", "detail", "instance", "request_id"]
    assert problem["status"] == status
    assert problem["instance"] == response.request.path
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert response.headers["Cache-Control"] == "no-store"
    for word in words:
        assert word in problem["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ("no file part", "'image'")),
        (PART, ("cannot be read", "cut off")),
        (b"nonsense", ("cannot be read", "cut off")),
        (b"--line--\r\n", ("no file part", "'image'")),
        (PART.replace(b"image", b"photo") + END, ("no file part", "'image'")),
        (PART.replace(b"bytes", b"") + END, ("'image' is empty",)),
        (PART.replace(b'; filename="a.png"', b"") + END, ("text", "file name")),
        (PART + b"\r\n" + PART + END, ("several", "one image per request")),
    ],
)
def test_forms_without_exactly_one_image(client: FlaskClient, body: bytes, words: tuple[str, ...]) -> None:
    response = client.post("/v1/scores", data=body, content_type="multipart/form-data; boundary=line")
    assert_problem(response, 400, *words)
    assert response.get_json()["type"] == "urn:captioner:problem:bad-upload"


def test_a_form_part_without_a_name(client: FlaskClient) -> None:
    body = PART + b"\r\n--line\r\nContent-Disposition: form-data\r\n\r\nx" + END
    for path in (URL, "/v1/heatmaps", "/hf", "/model/predict"):
        response = client.post(path, data=body, content_type="multipart/form-data; boundary=line")
        assert response.status_code == 422, path


def test_a_form_without_boundary(client: FlaskClient) -> None:
    assert_problem(client.post(URL, data=b"x", content_type="multipart/form-data"), 400, "cannot be read")


def test_a_form_of_too_many_parts(client: FlaskClient, photo: MakePhoto) -> None:
    data: dict[str, Any] = {f"field{i}": "1" for i in range(40)}
    response = client.post(URL, data=data | {"image": (io.BytesIO(photo()), "a.png")})
    assert_problem(response, 400, "32 parts")


def test_an_empty_body(client: FlaskClient) -> None:
    assert_problem(client.post(URL), 400, "empty", "'image'")


@pytest.mark.parametrize("extra", [1, 2**17])  # beyond the image's limit; beyond that of the body, too
def test_an_upload_of_too_many_bytes(client: FlaskClient, encode: Encode, extra: int) -> None:
    data = b"\xff\xd8\xff" + bytes(2**20 + extra)
    for response in (client.post(URL, data=data), client.post(URL, **encode(data))):
        assert_problem(response, 413, "MiB", "at most 1.00 MiB")
        assert response.get_json()["type"] == "urn:captioner:problem:image-too-large"


@pytest.mark.parametrize(
    "data", [b"just text", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"II*\x00" + bytes(99)]
)
def test_what_is_no_supported_image(client: FlaskClient, data: bytes) -> None:
    response = client.post(URL, data=data, content_type="image/jpeg")
    assert_problem(response, 415, "JPEG")
    assert response.get_json()["type"] == "urn:captioner:problem:unsupported-image"
    assert response.get_json()["title"] == "Unsupported image"


def test_an_image_that_is_cut_off(client: FlaskClient, photo: MakePhoto) -> None:
    data = photo(image_format="JPEG", size=(300, 300))
    assert_problem(client.post(URL, data=data[: len(data) // 2]), 422)


def test_an_image_of_too_many_pixels(client: FlaskClient, photo: MakePhoto) -> None:
    assert_problem(client.post(URL, data=photo(size=(7000, 7000), image_format="GIF")), 413, "pixel")


def test_unknown_addresses_and_methods(client: FlaskClient) -> None:
    assert_problem(client.get("/no/such/<page>"), 404, "POST /v1/captions", "POST /v1/scores")
    assert_problem(client.get("/static/../app.py"), 404)
    response = client.get(URL)
    assert_problem(response, 405, "GET", "POST")
    assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize("error", [RuntimeError("secret"), library.CheckpointError("secret"), MemoryError()])
def test_an_unexpected_error_tells_nothing_but_its_name(
    predictor: Predictor, photo: MakePhoto, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Predictor):
        info = predictor.info

        def captions(self, *_: object, **__: object) -> list[list[Caption]]:
            raise error

        def scores(self, *_: object, **__: object) -> list[Caption]:
            raise error

    client = create_app(Failing()).test_client()
    for path in (URL, "/v1/scores?text=dogs"):
        response = client.post(path, data=photo())
        assert_problem(response, 500, "request_id")
        assert "secret" not in response.get_data(as_text=True)
        assert response.headers["X-Request-Id"] in caplog.text


def test_every_image_and_option_error_has_a_status() -> None:
    named = [*library.ImageError.__subclasses__(), library.OptionError]
    assert set(named) <= set(STATUS)


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/nowhere", URL, "/v1/scores", "/static/page.js", "/static/icon.svg"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_every_answer_is_guarded(client: FlaskClient, path: str, method: str) -> None:
    with client.open(path, method=method) as response:
        assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response.headers["X-Request-Id"].startswith("req_")


def test_the_policy_has_no_exceptions() -> None:
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'")
    for hole in ("unsafe", "data:", "*", "http", "'self' '"):
        assert hole not in CONTENT_SECURITY_POLICY


def test_only_programs_are_told_not_to_store(client: FlaskClient) -> None:
    assert client.get("/livez").headers["Cache-Control"] == "no-store"
    assert client.get("/").headers["Cache-Control"] == "no-cache"
