"""POST /v1/answers: a question about a photo, the answers to it, and where the network looked."""

import base64
import io
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from service.app import create_app
from service.settings import Settings
from tests.support.fakes import CELLS, STRANGE, FakePredictor, MutePredictor

MakePhoto = Callable[..., bytes]
QUESTION = "how many dogs are there?"


def ask(client: FlaskClient, photo: bytes, **fields: str):  # type: ignore[no-untyped-def]
    return client.post("/v1/answers", data={"image": (io.BytesIO(photo), "photo"), **fields})


@pytest.fixture
def asked() -> FlaskClient:
    return create_app(FakePredictor()).test_client()


def test_a_question_is_answered(asked: FlaskClient, photo: MakePhoto) -> None:
    answer = ask(asked, photo(7), question=QUESTION, num_answers="2")
    assert answer.status_code == 200
    told = answer.get_json()
    assert told["question"] == QUESTION
    assert told["answers"] == [{"text": "7", "probability": 0.75}, {"text": "8", "probability": 0.125}]
    assert told["unknown_words"] == []
    rows, cols = told["attention_grid"]
    assert len(told["attention"]) == rows * cols
    row, col = CELLS[1]
    assert told["attention"].index(max(told["attention"])) == row * cols + col
    assert told["model"] == {"name": "fake", "version": "1.2.3"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_question_may_stand_in_the_query(asked: FlaskClient, photo: MakePhoto) -> None:
    answer = asked.post("/v1/answers", query_string={"question": f"a {STRANGE}?"}, data=photo(7))
    assert answer.get_json()["unknown_words"] == [STRANGE]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "question is missing"),
        ({"question": QUESTION, "num_answers": "0"}, "num_answers is '0'"),
        ({"question": QUESTION, "num_answers": "21"}, "from 1 to 20"),
        ({"question": 1001 * "x"}, "have 1 to 1000 characters"),
        ({"question": "???"}, "0 words"),
        ({"question": QUESTION, "text": "x"}, "'text' is not a parameter"),
    ],
)
def test_what_is_wrong_is_told(asked: FlaskClient, photo: MakePhoto, fields: dict[str, str], said: str) -> None:
    answer = ask(asked, photo(), **fields)
    assert answer.status_code == 422
    assert said in answer.get_json()["detail"]


def test_a_model_without_answers_says_so(photo: MakePhoto) -> None:
    answer = ask(create_app(MutePredictor()).test_client(), photo(), question=QUESTION)
    assert answer.status_code == 422
    assert "answers no questions" in answer.get_json()["detail"]


def test_answers_are_kept_by_photo_and_question(photo: MakePhoto) -> None:
    client = create_app(FakePredictor(), Settings(cache_bytes=2**20)).test_client()
    assert "cached" not in ask(client, photo(7), question=QUESTION).get_json()
    again = ask(client, photo(7), question=QUESTION).get_json()
    assert again["cached"] is True
    assert again["answers"][0]["text"] == "7"
    assert "cached" not in ask(client, photo(7), question="what is this?").get_json()
    assert "cached" not in ask(client, photo(8), question=QUESTION).get_json()
    captions = client.post("/v1/captions", data=photo(7)).get_json()
    assert "cached" not in captions
    assert captions["captions"][0]["text"] == "a photo of red 7"


def said_to_prompt(client: FlaskClient, photo: bytes, prompt: str) -> tuple[str, str]:
    """Return what is answered in the words of Ollama and of OpenAI."""
    image = base64.b64encode(photo).decode()
    ours = client.post("/api/generate", json={"prompt": prompt, "images": [image], "stream": False})
    parts = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": f"data:;base64,{image}"}}]
    theirs = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": parts}]})
    assert (ours.status_code, theirs.status_code) == (200, 200)
    return ours.get_json()["response"], theirs.get_json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("prompt", [QUESTION, " What color is the dog? ", "where is the man?"])
def test_a_prompt_that_is_a_question_is_answered(asked: FlaskClient, photo: MakePhoto, prompt: str) -> None:
    assert said_to_prompt(asked, photo(7), prompt) == ("7", "7")


@pytest.mark.parametrize(
    "prompt",
    [
        "What is in this image?",
        "how many dogs are there",
        f"how many {STRANGE}?",
        f"Describe it.\n{QUESTION}",
        "However?",
    ],
)
def test_any_other_prompt_gets_a_caption(asked: FlaskClient, photo: MakePhoto, prompt: str) -> None:
    ours, theirs = said_to_prompt(asked, photo(7), prompt)
    assert ours == theirs
    assert ours.startswith("a photo of red")


def test_a_prompt_gets_a_caption_where_no_question_can_be_answered(photo: MakePhoto) -> None:
    ours, _ = said_to_prompt(create_app(MutePredictor()).test_client(), photo(7), QUESTION)
    assert ours.startswith("a photo of red")
