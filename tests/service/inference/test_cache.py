"""Answers that are kept: what counts as the same question, and how much is kept."""

import base64
import io
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from flask.testing import FlaskClient

from service import Settings, create_app
from service.inference.cache import ResultCache
from service.inference.engine import Engine
from service.inference.jobs import Model, ModelIdentity, Photo, Result
from service.observability.observer import Observer
from tests.support.fakes import FakeInfo, FakePredictor, Recorder, fake_caption
from tests.support.gates import Gate

MakePhoto = Callable[..., bytes]
URL = "/v1/captions"
MODEL, PHOTO = ModelIdentity("fake", "1", ""), Photo(1, 1, "PNG")
ROOM = 2**20


def kept(words: int) -> Result:
    return Result(MODEL, PHOTO, [fake_caption(["word"] * words, -1.0, activations=False)])


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def caching(recorder: Recorder) -> FlaskClient:
    return create_app(recorder, Settings(cache_bytes=ROOM)).test_client()


def test_the_same_question_is_answered_once(caching: FlaskClient, recorder: Recorder, photo: MakePhoto) -> None:
    first, again = (caching.post(URL, data=photo()).get_json() for _ in range(2))
    assert len(recorder.options) == 1
    assert ("cached" in first, again["cached"]) == (False, True)
    for name in ("model", "image", "captions", "attention_grid"):
        assert first[name] == again[name]
    assert (again["timing_ms"]["decode"], again["timing_ms"]["inference"]) == (0, 0)
    assert first["id"] != again["id"]


def test_however_it_is_asked(caching: FlaskClient, recorder: Recorder, photo: MakePhoto) -> None:
    form = {"image": (io.BytesIO(photo()), "other name.jpg"), "num_captions": "2"}
    asked = [
        caching.post(URL, data=form),
        caching.post(URL + "?num_captions=2&beam_size=5", data=photo()),
        caching.post(URL, json={"image": base64.b64encode(photo()).decode(), "num_captions": 2}),
    ]
    assert [answer.get_json().get("cached") for answer in asked] == [None, True, True]
    assert len(recorder.options) == 1


@pytest.mark.parametrize("query", ["?num_captions=2", "?activations=true", "?search=sample&seed=1"])
def test_other_options_are_other_questions(caching: FlaskClient, photo: MakePhoto, query: str) -> None:
    caching.post(URL, data=photo())
    assert "cached" not in caching.post(URL + query, data=photo()).get_json()
    assert "cached" not in caching.post(URL, data=photo(1)).get_json()
    assert caching.post(URL + query, data=photo()).get_json()["cached"] is True


def test_what_is_drawn_by_chance_is_drawn_anew(caching: FlaskClient, recorder: Recorder, photo: MakePhoto) -> None:
    for _ in range(2):
        assert "cached" not in caching.post(URL + "?search=sample", data=photo()).get_json()
    assert len(recorder.options) == 2


def test_scores_are_kept_by_their_text(caching: FlaskClient, photo: MakePhoto) -> None:
    url = "/v1/scores?text=two+dogs"
    answers = [caching.post(path, data=photo()).get_json() for path in (url, URL, url, url + "+run")]
    assert [answer.get("cached") for answer in answers] == [None, None, True, None]


def test_each_of_several_photos_is_looked_up(caching: FlaskClient, recorder: Recorder, photo: MakePhoto) -> None:
    caching.post(URL, data=photo(1))
    form = {"image": [(io.BytesIO(data), "a") for data in (photo(1), b"no image", photo(2))]}
    results = caching.post(URL, data=form).get_json()["results"]
    assert [result.get("cached") for result in results] == [True, None, None]
    assert len(recorder.options) == 2


def test_a_heatmap_needs_no_model_for_a_caption_that_is_kept(
    caching: FlaskClient, recorder: Recorder, photo: MakePhoto
) -> None:
    caching.post(URL, data=photo())
    assert caching.post("/v1/heatmaps?word=1", data=photo()).status_code == 200
    assert len(recorder.options) == 1


def test_another_model_answers_for_itself(caching: FlaskClient, recorder: Recorder, photo: MakePhoto) -> None:
    caching.post(URL, data=photo())
    recorder.info = replace(FakeInfo(), sha256=64 * "0")
    assert "cached" not in caching.post(URL, data=photo()).get_json()
    recorder.info = FakeInfo()
    assert caching.post(URL, data=photo()).get_json()["cached"] is True


def test_an_answer_is_kept_for_the_model_that_gave_it(photo: MakePhoto) -> None:
    class Newer(FakePredictor):
        info = FakeInfo(version="2")

    settings, gate = Settings(cache_bytes=ROOM), Gate()
    engine = Engine(settings)
    engine.use(Model(gate))
    app = create_app(engine, settings)
    first = threading.Thread(target=lambda: app.test_client().post(URL, data=photo()))
    first.start()
    gate.wait_until_entered()
    engine.use(Model(Newer()))
    gate.opened.set()
    first.join()
    answers = [app.test_client().post(URL, data=photo()).get_json() for _ in range(2)]
    assert [answer["model"]["version"] for answer in answers] == ["2", "2"]
    assert ["cached" in answer for answer in answers] == [False, True]


def test_failures_are_not_kept(caching: FlaskClient, photo: MakePhoto) -> None:
    for _ in range(2):
        assert caching.post(URL, data=photo()[:60]).status_code == 422


def test_without_room_nothing_is_kept(recorder: Recorder, photo: MakePhoto) -> None:
    client = create_app(recorder, Settings(cache_bytes=0)).test_client()
    for _ in range(2):
        assert "cached" not in client.post(URL, data=photo()).get_json()
    assert len(recorder.options) == 2


def test_the_observer_hears_of_hits_and_misses(photo: MakePhoto) -> None:
    class Listener(Observer):
        def __init__(self) -> None:
            self.heard: list[bool] = []
            self.decodings = 0

        def cache(self, hit: bool) -> None:
            self.heard.append(hit)

        def decoded(self, seconds: float) -> None:
            self.decodings += seconds >= 0

    listener = Listener()
    client = create_app(Recorder(), Settings(cache_bytes=ROOM), listener).test_client()
    for data in (photo(1), photo(1), photo(2)):
        client.post(URL, data=data)
    assert (listener.heard, listener.decodings) == ([False, True, False], 2)


def test_entries_are_bounded_and_the_last_used_stay() -> None:
    cache = ResultCache(ROOM, 2)
    cache.put("a", kept(1))
    cache.put("b", kept(2))
    assert cache.get("a") is not None
    cache.put("c", kept(3))
    assert [cache.get(key) is not None for key in "abc"] == [True, False, True]
    assert len(cache) == 2


def test_bytes_are_bounded() -> None:
    cache = ResultCache(100_000, 1000)
    for key in range(50):
        cache.put(key, kept(20))
    assert 1 < len(cache) < 15
    before = len(cache)
    cache.put("huge", kept(5000))
    assert cache.get("huge") is None
    assert len(cache) == before


def test_what_is_kept_keeps_nothing_else_alive() -> None:
    whole = np.ones((100, 7, 7), np.float32)
    caption = fake_caption(["word"], -1.0, activations=True)
    inside = {"hidden": np.ones((100, 3), np.float32)[:1]}
    cache = ResultCache(ROOM, 10)
    cache.put("a", Result(MODEL, PHOTO, [replace(caption, attention=whole[:1], activations=inside)]))
    found = cache.get("a")
    assert found is not None
    [own] = found.captions
    assert own.attention is not None
    assert own.activations is not None
    assert own.attention.base is None
    assert own.activations["hidden"].base is None
