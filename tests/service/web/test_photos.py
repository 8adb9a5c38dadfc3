"""The operator's index over HTTP: off by default, read-only, and nothing but its photos."""

import hashlib
import io
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from PIL import Image

from captioner.errors import ConfigError
from captioner.index.database import Entry, PhotoIndex
from service import Settings, create_app
from service.web.openapi import create_document
from tests.support.fakes import FakePredictor
from tests.support.pictures import noise_image


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An index of three photos, one of which is gone and one of which is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    noise_image(1, 900, 600).save(folder / "a.png")
    (folder / "b.jpg").write_bytes(b"no photo")
    noise_image(2).save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    names = {"a.png": "a dog on a beach", "b.jpg": "a cat", "gone.png": "a dog", "link.png": "a fox"}
    path = tmp_path / "index.sqlite"
    PhotoIndex(path, writable=True).put(
        folder, [Entry(name, "s", "m", text, confidence=1 / 3, needs_review=True) for name, text in names.items()]
    )
    return path


@pytest.fixture
def settings(place: Path) -> Settings:
    return Settings(port=0, photo_index=place)


def number(client: FlaskClient, text: str) -> int:
    [photo] = client.get("/v1/photos", query_string={"q": text}).get_json()["photos"]
    return int(photo["id"])


def test_photos_are_found(client: FlaskClient, place: Path) -> None:
    answer = client.get("/v1/photos?q=dogs")
    assert [photo["name"] for photo in answer.get_json()["photos"]] == ["gone.png", "a.png"]
    [photo] = client.get("/v1/photos?q=beach&limit=1").get_json()["photos"]
    expected = {"name": "a.png", "caption": "a dog on a beach", "description": "", "confidence": 0.3333}
    assert {**expected, "id": photo["id"], "needs_review": True} == photo
    assert str(place.parent) not in answer.text
    assert client.get("/v1/photos?q=nothing").get_json() == {"photos": []}


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", "q is missing"),
        ("q=", "have 1 to 200 characters"),
        (f"q={'a' * 201}", "have 1 to 200 characters"),
        ("q=a&limit=101", "whole number from 1 to 100"),
        ("q=a&q=b", "given 2 times"),
        ("q=a&root=/", "'root' is not a parameter"),
    ],
)
def test_what_does_not_fit_is_refused(query: str, detail: str, client: FlaskClient) -> None:
    answer = client.get(f"/v1/photos?{query}")
    assert (answer.status_code, detail in answer.get_json()["detail"]) == (422, True)


def test_a_thumbnail_is_small_and_keeps_its_shape(client: FlaskClient) -> None:
    answer = client.get(f"/v1/photos/{number(client, 'beach')}/thumbnail")
    picture = Image.open(io.BytesIO(answer.data))
    assert (answer.mimetype, picture.format, picture.size) == ("image/jpeg", "JPEG", (320, 213))
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "which", ["0", "999", str(2**63), "9" * 400, "-1", "../1", "%2e%2e%2fsecret.png", "a.png", "1.0"]
)
def test_nothing_but_photos_of_the_index_is_shown(which: str, client: FlaskClient) -> None:
    assert client.get(f"/v1/photos/{which}/thumbnail").status_code == 404


def test_what_is_gone_a_link_or_no_photo_is_not_shown(client: FlaskClient, place: Path) -> None:
    assert client.get(f"/v1/photos/{number(client, 'fox')}/thumbnail").status_code == 404
    assert client.get(f"/v1/photos/{number(client, 'cat')}/thumbnail").status_code == 415
    (place.parent / "photos" / "a.png").unlink()
    assert client.get(f"/v1/photos/{number(client, 'beach')}/thumbnail").status_code == 404


def test_the_index_is_never_written(client: FlaskClient, place: Path) -> None:
    before = (place.read_bytes(), sorted(place.parent.iterdir()))
    client.get("/v1/photos?q=dog")
    assert [client.post("/v1/photos").status_code, client.delete("/v1/photos/1/thumbnail").status_code] == [405, 405]
    assert (place.read_bytes(), sorted(place.parent.iterdir())) == before
    place.write_bytes(b"something else" * 99)
    answer = client.get("/v1/photos?q=dog")
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


def test_keys_are_asked_for(place: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(f"{hashlib.sha256(b'secret').hexdigest()} anna\n")
    client = create_app(FakePredictor(), Settings(photo_index=place, api_keys=keys)).test_client()
    for address in ("/v1/photos?q=dog", "/v1/photos/1/thumbnail"):
        assert client.get(address).status_code == 401
        assert client.get(address, headers={"X-API-Key": "secret"}).status_code == 200


def test_without_an_index_there_is_nothing_of_it(tmp_path: Path) -> None:
    client = create_app(FakePredictor(), Settings()).test_client()
    assert client.get("/v1/photos?q=dog").status_code == 404
    assert 'id="search"' not in client.get("/").text
    assert "/v1/photos" not in client.get("/openapi.json").get_json()["paths"]
    with pytest.raises(ConfigError, match=r"photo_index: .*no such index"):
        create_app(FakePredictor(), Settings(photo_index=tmp_path / "nothing"))


def test_the_document_and_the_page_have_it(client: FlaskClient, settings: Settings) -> None:
    document = create_document(settings)
    validate(document)
    assert {"/v1/photos", "/v1/photos/{number}/thumbnail"} <= set(document["paths"])
    assert 'id="search"' in client.get("/").text
