"""POST /v1/heatmaps and GET /v1/model."""

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import Client, TestResponse

from captioner.heatmap import contact_sheet, overlay, tile_picture
from captioner.images import read_image
from captioner.predictor import CaptionPredictor
from service import create_app
from service.concurrency import ConcurrencyLimit
from service.inference.engine import DRAWN_TOGETHER, Engine
from service.inference.jobs import Model
from service.settings import Settings
from tests.support.fakes import CELLS, BlindPredictor, FakePredictor, fake_caption
from tests.support.gates import PATIENCE, Gate

pytestmark = pytest.mark.slow

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
    client, taken, admit = create_app(engine).test_client(), [], engine.admit

    def count(photos: int = 1) -> AbstractContextManager[float]:
        taken.append(photos)
        return admit(photos)

    monkeypatch.setattr(engine, "admit", count)
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


class SlowBrush:
    """Draws as overlay() does, once it may; remembers how large the pictures were."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[tuple[int, int]] = []
        self.entered, self.may_draw = threading.Semaphore(0), threading.Event()
        monkeypatch.setattr("service.web.heatmaps.overlay", self.draw)

    def draw(self, image: Image.Image, *args: Any, **options: Any) -> Image.Image:
        self.sizes.append(image.size)
        self.entered.release()
        assert self.may_draw.wait(PATIENCE)
        return overlay(image, *args, **options)

    def wait_until_drawing(self) -> None:
        assert self.entered.acquire(timeout=PATIENCE)


@pytest.fixture
def brush(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowBrush]:
    brush = SlowBrush(monkeypatch)
    yield brush
    brush.may_draw.set()


@contextmanager
def asked(app: Any, brush: SlowBrush, data: bytes, times: int) -> Iterator[list[Future[TestResponse]]]:
    """Ask for heatmaps all at once and leave them unfinished; at the end they may be drawn, and are."""
    with ThreadPoolExecutor(times) as threads:
        answers = [threads.submit(Client(app).post, f"{URL}?word=0", data=data) for _ in range(times)]
        try:
            for _ in range(min(times, DRAWN_TOGETHER)):
                brush.wait_until_drawing()
            yield answers
        finally:
            brush.may_draw.set()


def test_heatmaps_that_are_drawn_do_not_keep_captions_waiting(brush: SlowBrush, photo: MakePhoto) -> None:
    """On a small server four requests compute at a time; what waits for a drawing must not be one of them."""
    gate = Gate(is_open=True)
    app = ConcurrencyLimit(create_app(gate), number=4)
    with asked(app, brush, photo(), 8) as answers, ThreadPoolExecutor(1) as thread:
        while sum(map(len, gate.batches)) < 8:
            gate.wait_until_entered()
        time.sleep(0.3)  # for all that were captioned to come to where they are drawn
        caption = thread.submit(Client(app).post, "/v1/captions", data=photo(7))
        assert caption.result(PATIENCE / 3).json["captions"][0]["text"] == "a photo of red 7"  # type: ignore[index]
        brush.may_draw.set()
        assert [answer.result(PATIENCE).status_code for answer in answers] == [200] * 8


def test_a_heatmap_is_drawn_within_the_time_of_its_request(brush: SlowBrush, photo: MakePhoto) -> None:
    app = create_app(FakePredictor(), Settings(deadline_seconds=1))
    with asked(app, brush, photo(), 3) as answers:
        assert [answer.result(PATIENCE / 3).status_code for answer in answers] == [504] * 3


def test_a_heatmap_keeps_its_place_until_it_is_drawn(brush: SlowBrush, photo: MakePhoto) -> None:
    app = create_app(FakePredictor(), Settings(max_waiting=2))
    with asked(app, brush, photo(), 2):
        assert Client(app).post("/v1/captions", data=photo()).status_code == 503
    assert Client(app).post("/v1/captions", data=photo()).status_code == 200


def test_no_photo_in_full_waits_to_be_drawn(brush: SlowBrush, client: FlaskClient, photo: MakePhoto) -> None:
    brush.may_draw.set()
    data = photo(size=(900, 601))
    drawn = png(client.post(f"{URL}?word=1&size=64", data=data).data)
    assert brush.sizes == [(64, 43)]
    attention = fake_caption(("a", "photo", "of", "red", "200"), -4.0, activations=False).attention
    assert attention is not None
    assert drawn.tobytes() == overlay(read_image(data), attention[1], size=(64, 43)).tobytes()


@pytest.mark.parametrize("size", [(900, 601), (601, 900), (50, 40), (70, 200), (1000, 21), (21, 1000)])
@pytest.mark.parametrize("tile", [32, 38, 321])
def test_a_sheet_of_the_small_photo_is_that_of_the_photo(size: tuple[int, int], tile: int) -> None:
    image = Image.effect_mandelbrot(size, (-3, -2.5, 2, 2.5), 50).convert("RGB")
    caption = fake_caption(("a", "photo"), -4.0, activations=False)
    small = image.resize(tile_picture(size, tile), Image.Resampling.LANCZOS)
    assert contact_sheet(small, caption, tile=tile).tobytes() == contact_sheet(image, caption, tile=tile).tobytes()
