"""Bodies that come compressed are inflated up to what a request may have, or refused in words, on every route."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

pytestmark = pytest.mark.slow

MakePhoto = Callable[..., bytes]
Encode = Callable[[bytes], dict[str, Any]]
CODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress, "GZIP": gzip.compress}
MIB = 2**20


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("route", ["/v1/captions", "/model/predict", "/hf"])
def test_a_compressed_photo_is_read(client: FlaskClient, photo: MakePhoto, coding: str, route: str) -> None:
    response = client.post(route, data=CODINGS[coding](photo(7)), headers={"Content-Encoding": coding})
    assert response.status_code == 200, response.get_json()
    assert "a photo of red 7" in response.get_data(as_text=True)


@pytest.mark.parametrize("coding", CODINGS)
def test_compressed_json_is_read(client: FlaskClient, photo: MakePhoto, coding: str) -> None:
    data = CODINGS[coding](json.dumps({"image": base64.b64encode(photo(7)).decode()}).encode())
    headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
    assert (
        client.post("/v1/captions", data=data, headers=headers).get_json()["captions"][0]["text"] == "a photo of red 7"
    )


@pytest.mark.parametrize("coding", ["identity", ""])
def test_identity_says_nothing(client: FlaskClient, photo: MakePhoto, coding: str) -> None:
    assert client.post("/v1/captions", data=photo(), headers={"Content-Encoding": coding}).status_code == 200


@pytest.mark.parametrize(
    ("spoil", "status", "words"),
    [
        (lambda data: data[:-9], 400, "is cut off"),
        (lambda data: data + b"more", 400, "goes on after its end"),
        (lambda data: b"no" + data, 400, "cannot be inflated"),
        (lambda _: b"", 400, "is cut off"),
        (lambda _: gzip.compress(bytes(50 * MIB)), 413, "inflates to more than 1.06 MiB"),
    ],
)
@pytest.mark.parametrize("route", ["/v1/captions", "/v1/scores?text=a", "/v1/heatmaps"])
def test_what_cannot_be_inflated(
    client: FlaskClient, photo: MakePhoto, route: str, spoil: Callable[[bytes], bytes], status: int, words: str
) -> None:
    response = client.post(route, data=spoil(gzip.compress(photo())), headers={"Content-Encoding": "gzip"})
    assert (response.status_code, words in response.get_json()["detail"]) == (status, True), response.get_json()


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "x"])
def test_other_codings_are_refused(client: FlaskClient, photo: MakePhoto, coding: str) -> None:
    response = client.post("/v1/captions", data=photo(), headers={"Content-Encoding": coding})
    assert (response.status_code, "it may be gzip or deflate" in response.get_json()["detail"]) == (415, True)


def test_forms_are_not_compressed(client: FlaskClient, photo: MakePhoto, encode: Encode) -> None:
    form = encode(photo())
    headers = {**form["headers"], "Content-Encoding": "gzip"}
    response = client.post("/v1/captions", data=gzip.compress(form["data"]), headers=headers)
    assert (response.status_code, "a form cannot" in response.get_json()["detail"]) == (415, True)
