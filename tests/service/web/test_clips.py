"""POST /v1/clips: the shots of a clip, their captions, where the model looked in each frame, and subtitles."""

import io
from typing import Any

import numpy as np
import pytest
import webvtt as reader
from flask.testing import FlaskClient
from PIL import Image

from service.app import create_app
from service.settings import Settings
from tests.support.clips import animation, video
from tests.support.fakes import CELLS, STRANGE, FakePredictor, MutePredictor

RED, BLUE = Image.new("RGB", (64, 48), (200, 20, 20)), Image.new("RGB", (64, 48), (7, 40, 250))
TWO = animation([RED, BLUE], [1500, 1000])


def moving() -> bytes:
    """A clip whose reds change slowly, without a cut."""
    return animation([Image.new("RGB", (64, 48), (red, 90, 90)) for red in range(100, 120)], [100] * 20)


def watch(client: FlaskClient, clip: bytes, **fields: str) -> Any:
    return client.post("/v1/clips", data={"image": (io.BytesIO(clip), "clip"), **fields})


def test_each_shot_has_its_caption_and_times(client: FlaskClient) -> None:
    answer = watch(client, TWO)
    assert answer.status_code == 200
    told = answer.get_json()
    times = [(shot["start"], shot["end"], shot["frames"]) for shot in told["shots"]]
    assert times == [(0, 1.5, [0]), (1.5, 2.5, [1.5])]
    assert [shot["caption"]["text"] for shot in told["shots"]] == ["a clip of 200", "a clip of 7"]
    assert told["clip"] == {"width": 64, "height": 48, "format": "WEBP", "seconds": 2.5, "frames": 2}
    assert told["model"] == {"name": "fake", "version": "1.2.3"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_attention_is_over_time_and_place(client: FlaskClient) -> None:
    told = watch(client, moving(), frames="3").get_json()
    [shot] = told["shots"]
    assert len(shot["frames"]) == 3
    assert told["attention_grid"] == [7, 7]
    for word in shot["caption"]["words"]:
        weights = np.array(word["attention"])
        assert weights.shape == (3, 49)
        assert [tuple(int(at) for at in divmod(frame.argmax(), 7)) for frame in weights] == list(CELLS[:3])
        assert weights.sum() == pytest.approx(1, abs=1e-3)


def test_a_video_is_watched_too(client: FlaskClient) -> None:
    told = watch(client, video([RED] * 10 + [BLUE] * 10)).get_json()
    assert [(shot["start"], shot["end"]) for shot in told["shots"]] == [(0, 1), (1, 2)]
    assert told["clip"]["format"] == "MP4"


@pytest.mark.parametrize(
    ("review", "texts"),
    [
        ("keep", ["a clip of 200", "a clip of 7"]),
        ("mark", ["(unsure) a clip of 200", "(unsure) a clip of 7"]),
        ("omit", []),
    ],
)
def test_subtitles(client: FlaskClient, review: str, texts: list[str]) -> None:
    answer = watch(client, TWO, format="vtt", review=review)
    assert answer.content_type == "text/vtt; charset=utf-8"
    cues = reader.from_buffer(io.StringIO(answer.get_data(as_text=True))).captions
    assert [cue.text for cue in cues] == texts
    if texts:
        assert [(cue.start, cue.end) for cue in cues][1] == ("00:00:01.500", "00:00:02.500")


@pytest.mark.parametrize(
    ("clip", "fields", "status", "said"),
    [
        (TWO, {"max_shots": "17"}, 422, "from 1 to 16"),
        (TWO, {"frames": "9"}, 422, "from 1 to 8"),
        (TWO, {"review": "omit"}, 422, "only be given with format vtt"),
        (TWO, {"num_captions": "2"}, 422, "'num_captions' is not a parameter"),
        (TWO, {"max_shots": "16", "beam_size": "10"}, 422, "of 16 photos; a request may ask for at most 1000 words"),
        (TWO, {"beginning": STRANGE}, 422, "does not know"),
        (TWO[:80], {}, 422, "truncated"),
        (b"\xff\xd8\xff\xe0 a photo", {}, 415, "no moving picture"),
        (animation([Image.new("RGB", (2000, 1600))], [100], "GIF"), {}, 413, "2000 x 1600 pixels"),
    ],
)
def test_what_is_wrong_is_told(
    client: FlaskClient, clip: bytes, fields: dict[str, str], status: int, said: str
) -> None:
    answer = watch(client, clip, **fields)
    assert answer.status_code == status
    assert said in answer.get_json()["detail"]


def test_a_model_that_watches_no_clips_says_so() -> None:
    answer = watch(create_app(MutePredictor()).test_client(), TWO)
    assert answer.status_code == 422
    assert "watches no clips" in answer.get_json()["detail"]


def test_shots_fit_what_the_operator_allows() -> None:
    client = create_app(FakePredictor(), Settings(max_words=100)).test_client()
    assert len(watch(client, TWO).get_json()["shots"]) == 1
    assert watch(client, TWO, max_shots="2").status_code == 422


def test_a_clip_takes_as_many_places_as_frames_that_may_be_looked_at() -> None:
    client = create_app(FakePredictor(), Settings(max_waiting=10)).test_client()
    assert watch(client, TWO).status_code == 200  # 32 places, or all
    held: list[int] = []

    class Holding(FakePredictor):
        def caption_frames(self, frames: Any, options: Any) -> Any:
            held.append(client.post("/v1/captions", data=TWO).status_code)
            return super().caption_frames(frames, options)

    client = create_app(Holding(), Settings(max_waiting=32)).test_client()
    assert watch(client, TWO).status_code == 200
    assert held == [503, 503]
