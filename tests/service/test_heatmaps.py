"""POST /v1/heatmaps and GET /v1/model."""

import base64
import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from captioner.heatmap import contact_sheet, overlay
from captioner.images import read_image
from captioner.predictor import CaptionPredictor
from service import create_app
from service.engine import Engine
from service.settings import Settings
from service.work import Model
from tests.service.fakes import CELLS, BlindPredictor, FakePredictor, fake_caption

MakePhoto = Callable[..., bytes]
URL = "/v1/heatmaps"


def png(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data), formats=["PNG"])
    picture.load()
    return picture


@pytest.mark.parametrize("word", range(5))
def test_a_word_is_drawn_where_the_model_looked(client: FlaskClient, photo: MakePhoto, word: int) -> None:
    data = photo(size=(70, 70))
    response = client.post(f"{URL}?word={word}&opacity=1", data=data)
    assert (response.status_code, response.mimetype) == (200, "image/png")
    assert response.headers["Cache-Control"] == "no-store"
    picture = png(response.data)
    attention = fake_caption(("a", "photo", "of", "red", "200"), -4.0, activations=False).attention
    assert attention is not None
    expected = overlay(read_image(data), attention[word], opacity=1)
    assert picture.tobytes() == expected.tobytes()
    light = np.asarray(picture.convert("L"), float).reshape(7, 10, 7, 10).mean(axis=(1, 3))
    assert np.unravel_index(light.argmax(), light.shape) == CELLS[word]


def test_all_words_on_a_sheet(client: FlaskClient, photo: MakePhoto) -> None:
    picture = png(client.post(f"{URL}?columns=3&tile=64&opacity=0.3", data=photo(9)).data)
    caption = fake_caption(("a", "photo", "of", "red", "9"), -4.0, activations=False)
    expected = contact_sheet(read_image(photo(9)), caption, columns=3, tile=64, opacity=0.3)
    assert picture.size == expected.size
    default = png(client.post(URL, data=photo(9)).data)
    assert default.size == contact_sheet(read_image(photo(9)), caption).size


def test_a_request_takes_its_place_once(photo: MakePhoto, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it could be refused after the model has looked at its photo."""
    engine = Engine(Settings(max_waiting=1))
    engine.use(Model(FakePredictor()))
    client, taken, place = create_app(engine).test_client(), [], engine.place

    def count(photos: int = 1) -> AbstractContextManager[float]:
        taken.append(photos)
        return place(photos)

    monkeypatch.setattr(engine, "place", count)
    assert client.post(URL, data=photo()).status_code == 200
    assert taken == [1]


def test_another_caption_than_the_best(client: FlaskClient, photo: MakePhoto) -> None:
    sheets = [client.post(f"{URL}?num_captions=3&caption={index}", data=photo()).data for index in range(3)]
    assert len(set(sheets)) == 3


@pytest.mark.parametrize(("size", "expected"), [(32, (32, 16)), (100, (64, 32))])
def test_a_word_s_picture_is_never_enlarged(
    client: FlaskClient, photo: MakePhoto, size: int, expected: tuple[int, int]
) -> None:
    assert png(client.post(f"{URL}?word=0&size={size}", data=photo(size=(64, 32))).data).size == expected


def test_forms_and_json(client: FlaskClient, photo: MakePhoto) -> None:
    form = client.post(URL, data={"image": (io.BytesIO(photo()), "a"), "word": "2"})
    typed = client.post(URL, json={"image": base64.b64encode(photo()).decode(), "word": 2})
    assert form.data == typed.data
    assert form.mimetype == "image/png"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"word": "5"}, ("word is 5", "'a photo of red 200' has 5 words")),
        ({"word": "-1"}, ("word is '-1'", "0 to 199")),
        ({"caption": "1"}, ("caption is 1", "num_captions 1", "at most 0")),
        ({"opacity": "1.5"}, ("opacity is '1.5'", "0 to 1")),
        ({"word": "0", "columns": "2"}, ("columns is 2", "without word")),
        ({"size": "100"}, ("size is 100", "with word")),
        ({"tile": "1024", "max_length": "200", "beam_size": "1"}, ("tile is 1024; with max_length 200", "at most 345")),
        ({"tile": "16"}, ("tile is '16'", "32 to 1024")),
        ({"activations": "true"}, ("'activations' is not a parameter",)),
        ({"beam_size": "50", "max_length": "200"}, ("1000 words",)),
    ],
)
def test_what_does_not_fit_is_explained(
    client: FlaskClient, photo: MakePhoto, query: dict[str, str], words: tuple[str, ...]
) -> None:
    response = client.post(URL, query_string=query, data=photo())
    assert (response.status_code, response.mimetype) == (422, "application/problem+json")
    for word in words:
        assert word in response.get_json()["detail"]


@pytest.mark.parametrize("query", ["", "?word=0"])
def test_a_model_that_does_not_attend_has_nothing_to_draw(photo: MakePhoto, query: str) -> None:
    response = create_app(BlindPredictor()).test_client().post(URL + query, data=photo())
    assert response.status_code == 422
    assert "no attention" in response.get_json()["detail"]


def test_one_photo_only(client: FlaskClient, photo: MakePhoto) -> None:
    form: dict[str, Any] = {"image": [(io.BytesIO(photo()), "a"), (io.BytesIO(photo()), "b")]}
    assert client.post(URL, data=form).status_code == 400
    assert client.post(URL, data=b"no image").status_code == 415


def test_the_model_tells_what_it_is(client: FlaskClient) -> None:
    response = client.get("/v1/model")
    expected = {"name": "fake", "version": "1.2.3", "sha256": 64 * "f", "vocabulary": 5}
    assert response.get_json() == expected
    same = client.get("/v1/model", headers={"If-None-Match": response.headers["ETag"]})
    assert (same.status_code, same.data) == (304, b"")
    assert client.get("/v1/model", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_real_model_tells_all_of_its_checkpoint(small_checkpoint_file: Path) -> None:
    client = create_app(CaptionPredictor.from_checkpoint(small_checkpoint_file)).test_client()
    answer = client.get("/v1/model").get_json()
    assert (answer["name"], answer["version"]) == ("small", "7")
    assert (answer["vocabulary"], answer["image"]["size"]) == (14, 64)
    assert {"encoder", "decoder", "provenance", "calibration"} < set(answer)
    assert len(answer["sha256"]) == 64
