"""What clients really send: file names in any encoding, and base64 of every kind."""

import base64
import io
import random
import textwrap
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from service import Settings, create_app
from service.web.forms import MAX_HEADERS, AnyNameParser
from tests.support.fakes import FakePredictor

MakePhoto = Callable[..., bytes]
URL = "/v1/captions"
FORM = "multipart/form-data; boundary=BND"
NAMES = [
    "café.jpg".encode("latin-1"),
    "zdjęcie.jpg".encode("cp1250"),
    "表.jpg".encode("shift_jis"),
    "表".encode("shift_jis"),  # whose second byte is a backslash, before the closing quote
    "照片.jpg".encode("gbk"),
    "写真.jpg".encode(),
    b"\xff\xfe\x00photo.jpg",
    b"a\xe9" * 500,
]


def form(data: bytes, name: bytes, field: bytes = b"image") -> bytes:
    head = b'--BND\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: image/png\r\n\r\n'
    return head % (field, name) + data + b"\r\n--BND--\r\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_in_any_encoding(client: FlaskClient, photo: MakePhoto, name: bytes) -> None:
    for path in (URL, "/hf", "/model/predict"):
        response = client.post(path, data=form(photo(5), name), content_type=FORM)
        assert response.status_code == 200, response.get_json()
    named = client.post(URL, data=form(photo(5), name), content_type=FORM).get_json()
    plain = client.post(URL, data=form(photo(5), b"a.png"), content_type=FORM).get_json()
    assert named["captions"] == plain["captions"]


def test_fields_and_several_photos_beside_such_names(client: FlaskClient, photo: MakePhoto) -> None:
    fields = b'--BND\r\nContent-Disposition: form-data; name="num_captions"\r\n\r\n2\r\n'
    body = fields + form(photo(5), NAMES[0])
    assert len(client.post(URL, data=body, content_type=FORM).get_json()["captions"]) == 2
    wrong = fields.replace(b"num_captions", b"num\xe9") + form(photo(5), NAMES[0])
    assert client.post(URL, data=wrong, content_type=FORM).status_code == 422


def parse(body: bytes, chunk: int, boundary: str = "BND") -> list[bytes]:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002
            return super().read(chunk)

    parser = AnyNameParser(stream_factory=lambda *_, **__: io.BytesIO(), silent=False)
    _, _, files = parser.parse(Slow(body), "multipart/form-data", len(body), {"boundary": boundary})
    return [file.read() for file in files.getlist("image")]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 65536])
def test_what_the_parts_hold_goes_through_untouched(chunk: int) -> None:
    chance = random.Random(0)  # noqa: S311
    for size in (0, 1, 2, 50, 3000):
        data = chance.randbytes(size)
        tricky = b"\xe9--BND\r\n\xe9\r\n--BN\xe9\r\n--BNDX\xe9\r\n\r\n--\xe9" + data + b"\r"
        for line in (b"\r\n", b"\n"):
            body = form(tricky, NAMES[0])[:-11] + b"\r\n" + form(data, NAMES[2])
            head, _, rest = body.partition(b"\r\n\r\n")
            assert parse(head.replace(b"\r\n", line) + line * 2 + rest, chunk) == [tricky, data]


def test_headers_without_an_end_are_refused(client: FlaskClient) -> None:
    body = b"--BND\r\nX: " + b"\xe9" * (2 * MAX_HEADERS)
    response = client.post(URL, data=body, content_type=FORM)
    assert response.status_code in (400, 413)


def spellings(data: bytes) -> dict[str, str]:
    plain, url_safe = base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()
    return {
        "plain": plain,
        "unpadded": plain.rstrip("="),
        "url-safe": url_safe,
        "url-safe and unpadded": url_safe.rstrip("="),
        "wrapped": base64.encodebytes(data).decode(),
        "wrapped by CRLF": "\r\n".join(textwrap.wrap(plain, 64)) + "\r\n",
        "spaced": f" {plain[:9]}\t{plain[9:]}\n ",
        "data URI": f"data:image/png;base64,{plain}",
        "data URI of any case and parameters": f" DATA:image/png;name=a.png;BASE64,{plain}",
        "data URI without a type": f"data:;base64,{url_safe}",
        "data URI in percent signs": f"data:image/png;base64,{quote(plain, safe='')}",
    }


@pytest.mark.parametrize("kind", spellings(b"x"))
@pytest.mark.parametrize("seed", [1, 2, 3])  # whose lengths leave different rests
def test_base64_of_every_kind(client: FlaskClient, photo: MakePhoto, kind: str, seed: int) -> None:
    data = photo(7) + bytes(seed)
    text = spellings(data)[kind]
    expected = client.post(URL, data=data, content_type="image/png").get_json()["captions"]
    assert client.post(URL, json={"image": text}).get_json()["captions"] == expected
    assert client.post("/hf", json={"inputs": text}).status_code == 200
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}
    assert client.post("/v2/models/fake/infer", json={"inputs": [tensor]}).status_code in (200, 404)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (7, "image must be a text"),
        ([], "image must be a text"),
        ("", "image is empty"),
        (" \n", "image is empty"),
        ("no base64!", "image must be a text: the bytes of an image as base64"),
        ("é", "as base64, or a data: URI"),
        ("AAA AAAA", "as base64"),  # the space was a plus, before a form was made of it
        ("AAAAA", "as base64"),  # five digits are no bytes
        ("AAA===", "too many or too few '='"),
        ("AA=", "too many or too few '='"),
        ("AA==AAAA", "as base64"),
        ("data:image/png,abc", "must be in base64, such as data:image/jpeg;base64,"),
        ("data:image/png;base64", "must be in base64, such as"),
        ("data:image/png;base64,", "image is empty"),
        ("data:image/png;base64,%ff", "as base64"),
        ("https://example.org/a.jpg", "as base64"),
    ],
)
def test_what_is_still_no_base64(client: FlaskClient, value: Any, words: str) -> None:
    response = client.post(URL, json={"image": value})
    assert (response.status_code, words in response.get_json()["detail"]) == (400, True), response.get_json()


def test_a_wrapped_photo_may_be_as_large_as_any() -> None:
    client = create_app(FakePredictor(), Settings(max_upload_bytes=2**20)).test_client()
    data = b"GIF89a" + bytes(2**20 - 6)
    response = client.post(URL, json={"image": "\r\n".join(textwrap.wrap(base64.b64encode(data).decode(), 64))})
    assert response.status_code == 422  # it was read, and is no picture
