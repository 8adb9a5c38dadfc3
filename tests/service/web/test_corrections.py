"""The routes of corrections: there only if they are wanted, with everyone's limits, keys, errors and counts."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from service import Settings, create_app
from service.app import add_observability
from service.corrections import LIST, PHOTOS
from service.observability.metrics import Metrics
from service.web.openapi import create_document
from service.web.parameters import MAX_CORRECTION
from tests.support.fakes import FakePredictor

MakePhoto = Callable[..., bytes]
PATH = "/v1/corrections"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def settings(folder: Path) -> Settings:
    return Settings(port=0, max_upload_bytes=2**20, corrections=folder, corrections_entries=2)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LIST).read_text(encoding="utf-8").splitlines()]


def send(client: FlaskClient, data: bytes, text: str, **more: Any) -> Any:
    return client.post(PATH, json={"image": base64.b64encode(data).decode(), "text": text}, **more)


def test_a_correction_is_kept_and_deleted(client: FlaskClient, folder: Path, photo: MakePhoto) -> None:
    answer = send(client, photo(), "  two   dogs\trun ")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    kept = answer.get_json()["correction"]
    assert kept == {"id": kept["id"], "text": "two dogs run", "new": True}
    [row] = rows(folder)
    assert (row["id"], row["caption"]) == (kept["id"], "two dogs run")
    assert (folder / PHOTOS / row["file"]).stat().st_size == row["bytes"]
    gone = client.delete(f"{PATH}/{kept['id']}")
    assert (gone.status_code, gone.data) == (204, b"")
    assert rows(folder) == []
    assert list((folder / PHOTOS).iterdir()) == []
    again = client.delete(f"{PATH}/{kept['id']}")
    assert (again.status_code, again.get_json()["type"]) == (404, "urn:captioner:problem:unknown-correction")


def test_it_comes_as_a_body_or_a_form_too_and_is_the_same(
    client: FlaskClient, folder: Path, photo: MakePhoto, encode: Callable[[bytes], dict[str, Any]]
) -> None:
    answers = [
        send(client, photo(), "two dogs"),
        client.post(PATH, data=photo(), query_string={"text": "two dogs"}),
        client.post(PATH, query_string={"text": "two dogs"}, **encode(photo())),
    ]
    assert [answer.get_json()["correction"]["new"] for answer in answers] == [True, False, False]
    assert len({answer.get_json()["correction"]["id"] for answer in answers}) == 1
    assert len(rows(folder)) == 1


def test_what_is_full_is_said_and_nothing_is_stored(client: FlaskClient, folder: Path, photo: MakePhoto) -> None:
    for text in ("one dog", "two dogs"):
        assert send(client, photo(), text).status_code == 200
    full = send(client, photo(), "three dogs")
    assert (full.status_code, full.mimetype) == (507, "application/problem+json")
    assert "2 corrections are kept, and no more may be" in full.get_json()["detail"]
    assert len(rows(folder)) == 2
    assert send(client, photo(), "two dogs").status_code == 200  # it is there


@pytest.mark.parametrize("text", ["", "   ", "?!", "x" * (MAX_CORRECTION + 1), "a\0dog", "a \u202e dog"])
def test_what_is_no_sentence_is_refused(client: FlaskClient, folder: Path, photo: MakePhoto, text: str) -> None:
    answer = send(client, photo(), text)
    assert (answer.status_code, answer.get_json()["type"]) == (422, "urn:captioner:problem:option")
    assert not (folder / LIST).exists()


def test_what_is_no_photo_is_refused(client: FlaskClient, folder: Path, photo: MakePhoto) -> None:
    assert send(client, b"no photo", "a dog").status_code == 415
    assert send(client, photo()[:60], "a dog").status_code == 422
    assert client.post(PATH, data=photo()).status_code == 422
    assert not (folder / LIST).exists()


@pytest.mark.parametrize("name", ["..%2F..%2Fcorrections.jsonl", ".lock", "%00", "x" * 5000, "é"])
def test_ids_are_no_paths(client: FlaskClient, folder: Path, photo: MakePhoto, name: str) -> None:
    send(client, photo(), "a dog")
    assert client.delete(f"{PATH}/{name}").status_code == 404
    assert len(rows(folder)) == 1


def test_without_the_setting_there_is_nothing(photo: MakePhoto) -> None:
    client = create_app(FakePredictor(), Settings()).test_client()
    assert send(client, photo(), "a dog").status_code == 404
    assert client.delete(f"{PATH}/1").status_code == 404
    assert "correction" not in client.get("/").text
    assert not [path for path in client.get("/openapi.json").get_json()["paths"] if "correction" in path]


def test_the_routes_are_documented(client: FlaskClient, settings: Settings) -> None:
    validate(create_document(settings))
    paths = client.get("/openapi.json").get_json()["paths"]
    assert {"200", "413", "415", "422", "503", "507"} <= set(paths[PATH]["post"]["responses"])
    assert {"204", "404"} <= set(paths[f"{PATH}/{{correction}}"]["delete"]["responses"])


def test_they_ask_for_keys_and_count_against_the_limit(tmp_path: Path, folder: Path, photo: MakePhoto) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(f"{hashlib.sha256(b'key').hexdigest()} anna\n", encoding="utf-8")
    settings = Settings(corrections=folder, api_keys=keys, rate_limit="2/minute")
    client = create_app(FakePredictor(), settings).test_client()
    assert send(client, photo(), "a dog").status_code == 401
    assert client.delete(f"{PATH}/1").status_code == 401
    own = {"X-API-Key": "key"}
    assert send(client, photo(), "a dog", headers=own).status_code == 200
    assert client.delete(f"{PATH}/1", headers=own).status_code == 404
    assert send(client, photo(), "two dogs", headers=own).status_code == 429
    assert len(rows(folder)) == 1


def test_metrics_count_them(settings: Settings, photo: MakePhoto) -> None:
    app, metrics = create_app(FakePredictor(), settings), Metrics()
    add_observability(app, metrics, settings)
    client = app.test_client()
    send(client, photo(), "a dog")
    client.delete(f"{PATH}/1")
    counted = client.get("/metrics").text
    assert f'captioner_requests_total{{route="{PATH}",status="200"}} 1.0' in counted
    assert f'captioner_requests_total{{route="{PATH}/<correction>",status="404"}} 1.0' in counted


@pytest.mark.parametrize("wanted", [True, False])
def test_pages_elsewhere_may_delete_only_where_there_is_something_to(folder: Path, wanted: bool) -> None:
    settings = Settings(cors_origins="https://a.example", corrections=folder if wanted else None)
    client = create_app(FakePredictor(), settings).test_client()
    answer = client.options(f"{PATH}/1", headers={"Origin": "https://a.example"})
    assert ("DELETE" in answer.headers["Access-Control-Allow-Methods"]) == wanted
