"""OpenAI's API, called by its own Python client and as applications call it, at a real server."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import openai
import pytest
from flask import Flask
from flask.testing import FlaskClient

from captioner.predictor import CaptionPredictor
from service import Settings, create_app
from service.web.adapters.openai.chat_completions import OPTIONS
from service.web.fetching import Fetcher
from tests.support.fakes import FakePredictor, Recorder

pytestmark = pytest.mark.slow
MakePhoto = Callable[..., bytes]
Serve = Callable[[Flask], AbstractContextManager[str]]
CAPTION = "a photo of red 7"


def connect(url: str, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)


@pytest.fixture
def client(app: Flask, serve: Serve) -> Iterator[openai.OpenAI]:
    with serve(app) as url, connect(url) as made:
        yield made


def data_uri(photo: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(photo).decode()}"


def chat(*places: str, text: str = "Describe this.") -> list[Any]:
    images = [{"type": "image_url", "image_url": {"url": place, "detail": "low"}} for place in places]
    return [{"role": "user", "content": [{"type": "text", "text": text}, *images]}]


def items(*places: str) -> list[Any]:
    images = [{"type": "input_image", "image_url": place, "detail": "low"} for place in places]
    return [{"role": "user", "content": [{"type": "input_text", "text": "Describe this."}, *images]}]


class TestChat:
    """``client.chat.completions``."""

    def test_whole(self, client: openai.OpenAI, photo: MakePhoto) -> None:
        answer = client.chat.completions.create(model="gpt-5", messages=chat(data_uri(photo(7))))
        [choice] = answer.choices
        assert (choice.message.content, choice.message.role, choice.finish_reason) == (CAPTION, "assistant", "stop")
        assert (answer.model, answer.object, answer.id[:9]) == ("fake", "chat.completion", "chatcmpl-")
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (0, 5, 5)

    @pytest.mark.parametrize("usage", [False, True])
    def test_streamed(self, client: Any, photo: MakePhoto, usage: bool) -> None:
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
        with client.chat.completions.create(
            model="fake", messages=chat(data_uri(photo(7))), stream=True, **options
        ) as stream:
            events = list(stream)
        choices = [event.choices[0] for event in events if event.choices]
        assert [choice.delta.content for choice in choices] == ["", "a", " photo", " of", " red", " 7", None]
        assert [choice.finish_reason for choice in choices] == [None] * 6 + ["stop"]
        assert len({event.id for event in events}) == 1
        counted = [event.usage.completion_tokens for event in events if event.usage]
        assert counted == ([5] if usage else [])

    def test_the_client_puts_a_stream_together(self, client: openai.OpenAI, photo: MakePhoto) -> None:
        with client.chat.completions.stream(model="fake", messages=chat(data_uri(photo(7)))) as stream:
            whole = stream.get_final_completion()
        assert whole.choices[0].message.content == CAPTION

    @pytest.mark.parametrize("stream", [False, True])
    def test_several_choices(self, client: Any, photo: MakePhoto, stream: bool) -> None:
        found = client.chat.completions.create(model="fake", messages=chat(data_uri(photo(7))), n=3, stream=stream)
        texts = ["", "", ""]
        for event in found if stream else [found]:
            for choice in event.choices:
                said = choice.delta if stream else choice.message
                texts[choice.index] += said.content or ""
        assert texts == [CAPTION, "a photo-2 of red 7", "a photo-3 of red 7"]

    def test_the_last_images_are_described(self, client: Any, photo: MakePhoto) -> None:
        messages = [
            {"role": "system", "content": "You write alt text."},
            *chat(data_uri(photo(1))),
            {"role": "assistant", "content": "a photo of red 1"},
            *chat(data_uri(photo(2)), data_uri(photo(3))),
            {"role": "assistant", "content": None},
            {"role": "user", "content": "Once more, please."},
        ]
        answer = client.chat.completions.create(model="fake", messages=messages)
        assert answer.choices[0].message.content == "a photo of red 2\na photo of red 3"

    def test_options(self, photo: MakePhoto) -> None:
        recorder = Recorder()
        client = create_app(recorder).test_client()
        given: list[dict[str, Any]] = [
            {},
            {"temperature": 1, "top_p": 0.5, "seed": 3, "n": 2, "max_tokens": 9, "max_completion_tokens": 8},
            {"temperature": 0.1, "max_tokens": 300},
            {"response_format": {"type": "json_object"}, "stop": ["."], "tools": [], "logit_bias": {}, "user": "me"},
        ]
        for one in given:
            body = {"model": "gpt-4o-mini", "messages": chat(data_uri(photo())), **one}
            assert client.post("/v1/chat/completions", json=body).status_code == 200
        usual, drawn, cold, other = recorder.options
        assert usual == cold == other == Settings().options()
        assert (drawn.search, drawn.temperature, drawn.top_p, drawn.seed) == ("sample", 1, 0.5, 3)
        assert (drawn.num_captions, drawn.max_length) == (2, 8)


class TestResponses:
    """``client.responses``."""

    def test_whole(self, client: openai.OpenAI, photo: MakePhoto) -> None:
        answer = client.responses.create(model="gpt-5", input=items(data_uri(photo(7))), instructions="Be brief.")
        assert (answer.output_text, answer.status, answer.model) == (CAPTION, "completed", "fake")
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (0, 5)

    def test_streamed(self, client: openai.OpenAI, photo: MakePhoto) -> None:
        with client.responses.create(model="fake", input=items(data_uri(photo(7))), stream=True) as stream:
            events: list[Any] = list(stream)
        assert [event.sequence_number for event in events] == list(range(len(events)))
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert deltas == ["a", " photo", " of", " red", " 7"]
        kinds = list(dict.fromkeys(event.type.removeprefix("response.") for event in events))
        assert kinds == [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
        assert events[-1].response.output_text == CAPTION

    def test_the_client_puts_a_stream_together(self, client: openai.OpenAI, photo: MakePhoto) -> None:
        with client.responses.stream(model="fake", input=items(data_uri(photo(7)))) as stream:
            assert stream.get_final_response().output_text == CAPTION

    def test_a_request_of_photoprism(self, app: Flask, photo: MakePhoto) -> None:
        content = [
            {"type": "input_text", "text": "Create a caption with exactly one sentence."},
            {"type": "input_image", "image_url": data_uri(photo(7, (720, 540))), "detail": "low"},
        ]
        body = {
            "model": "gpt-5-nano",
            "input": [
                {"role": "system", "type": "message", "content": [{"type": "input_text", "text": "You return one."}]},
                {"role": "user", "type": "message", "content": content},
            ],
            "reasoning": {"effort": "low"},
            "max_output_tokens": 512,
        }
        found = app.test_client().post("/v1/responses", json=body).get_json()
        texts = [part["text"] for item in found["output"] for part in item["content"]]
        assert (texts, found["max_output_tokens"]) == ([CAPTION], 512)


class TestApplications:
    """Requests of exactly the shape that applications send."""

    @pytest.fixture
    def web(self, app: Flask) -> FlaskClient:
        return app.test_client()

    def said(self, web: FlaskClient, body: dict[str, Any]) -> str:
        found = web.post("/v1/chat/completions", json=body, headers={"Authorization": "Bearer any"}).get_json()
        return str(found["choices"][0]["message"]["content"])

    def test_the_proposal_for_mastodon(self, web: FlaskClient, photo: MakePhoto) -> None:
        image = {"type": "image_url", "image_url": {"url": data_uri(photo(7))}}
        messages = [{"role": "system", "content": "Describe this."}, {"role": "user", "content": [image]}]
        assert self.said(web, {"model": "google/gemma-3-4b-it", "messages": messages, "max_tokens": 300}) == CAPTION

    def test_altbot_by_its_provider_vllm(self, web: FlaskClient, photo: MakePhoto) -> None:
        body = {"model": "any", "messages": chat(data_uri(photo(7)))}
        del body["messages"][0]["content"][1]["image_url"]["detail"]
        assert self.said(web, body) == CAPTION

    def test_immich_analyze_by_its_interface_llamacpp(self, web: FlaskClient, photo: MakePhoto) -> None:
        body = {"model": "any", "messages": chat(data_uri(photo(7))), "stream": False}
        assert self.said(web, body) == CAPTION

    def test_image_url_as_a_text(self, web: FlaskClient, photo: MakePhoto) -> None:
        content = [{"type": "image_url", "image_url": data_uri(photo(7))}]
        assert self.said(web, {"messages": [{"role": "user", "content": content}]}) == CAPTION


class TestModels:
    """``client.models``."""

    def test_list_and_retrieve(self, client: openai.OpenAI) -> None:
        [listed] = client.models.list().data
        retrieved = client.models.retrieve("fake")
        assert listed == retrieved
        assert (listed.id, listed.object, listed.owned_by, listed.created > 10**9) == (
            "fake",
            "model",
            "captioner",
            True,
        )

    def test_another_is_not_there(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve("gpt-4o")
        assert (caught.value.code, caught.value.type) == ("model_not_found", "invalid_request_error")


class TestErrors:
    """Errors, which the client knows by their statuses and codes."""

    def test_are_of_the_client_s_kinds(self, client: openai.OpenAI, photo: MakePhoto) -> None:
        good = data_uri(photo())
        asks: list[tuple[type[openai.APIStatusError], str, list[Any], dict[str, Any]]] = [
            (openai.BadRequestError, "bad_upload", chat(), {}),
            (openai.BadRequestError, "bad_upload", chat("data:image/png,x"), {}),
            (openai.APIStatusError, "unsupported_image", chat(data_uri(b"text")), {}),
            (openai.UnprocessableEntityError, "option", chat(good), {"temperature": 99}),
            (openai.UnprocessableEntityError, "option", chat(good), {"max_tokens": 0}),
            (openai.UnprocessableEntityError, "option", chat(good, good), {"n": 50}),
            (openai.UnprocessableEntityError, "fetch", chat("https://example.org/a.jpg"), {}),
            (openai.UnprocessableEntityError, "fetch", chat("http://127.0.0.1/a.jpg"), {}),
            (openai.BadRequestError, "bad_upload", chat(*[good] * 9), {}),
        ]
        for kind, code, messages, options in asks:
            with pytest.raises(kind) as caught:
                client.chat.completions.create(model="fake", messages=messages, **options)
            assert (caught.value.code, caught.value.type) == (code, "invalid_request_error")
            assert caught.value.request_id

    def test_a_key_is_needed(self, serve: Serve, photo: MakePhoto, tmp_path: Path) -> None:
        keys = tmp_path / "keys"
        keys.write_text(hashlib.sha256(b"secret").hexdigest(), encoding="utf-8")
        with serve(create_app(FakePredictor(), Settings(api_keys=keys))) as url:
            with connect(url, "secret") as client:
                answer = client.responses.create(model="fake", input=items(data_uri(photo(7))))
                assert answer.output_text == CAPTION
            with connect(url, "wrong") as client, pytest.raises(openai.AuthenticationError) as caught:
                client.models.list()
        assert caught.value.code == "invalid_api_key"

    def test_too_many_requests(self, serve: Serve) -> None:
        with serve(create_app(FakePredictor(), Settings(rate_limit="1/minute"))) as url, connect(url) as client:
            client.models.list()
            with pytest.raises(openai.RateLimitError) as caught:
                client.models.list()
        assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v1/chat/completions", {"messages": 3}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": 3}]}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
            ("/v1/chat/completions", {"stream_options": True}),
            ("/v1/chat/completions", {"stream": "yes"}),
            ("/v1/responses", {"input": [3]}),
            ("/v1/responses", {"input": "Describe this."}),
            ("/v1/responses", {"input": [{"type": "input_image", "file_id": "file-1"}]}),
        ],
    )
    def test_requests_that_do_not_fit(self, app: Flask, path: str, body: dict[str, Any]) -> None:
        response = app.test_client().post(path, json=body)
        assert response.status_code in (400, 422)
        assert list(response.get_json()) == ["error"]
        assert list(response.get_json()["error"]) == ["message", "type", "param", "code"]

    @pytest.mark.parametrize("name", OPTIONS)
    def test_values_that_do_not_fit(self, app: Flask, photo: MakePhoto, name: str) -> None:
        values: tuple[Any, ...] = ("x", True, [], {}, 1e300, 2**70)
        for value in values:
            body = {"messages": chat(data_uri(photo())), name: value}
            response = app.test_client().post("/v1/chat/completions", json=body)
            assert (response.status_code, response.get_json()["error"]["code"]) == (422, "option"), value

    def test_the_service_s_own_addresses_keep_their_words(self, app: Flask) -> None:
        for path in ("/v1/captions", "/v1/modelsx", "/v1/nothing"):
            assert app.test_client().get(path).mimetype == "application/problem+json"


def test_photos_are_fetched_by_the_service_s_rules(monkeypatch: pytest.MonkeyPatch, photo: MakePhoto) -> None:
    fetched: list[str] = []

    def get(self: Fetcher, parts: Any) -> bytes:
        fetched.append(parts.geturl())
        return photo(7)

    monkeypatch.setattr(Fetcher, "_get", get)
    client = create_app(FakePredictor(), Settings(url_hosts="photos.example")).test_client()
    for place, status in (
        ("https://photos.example/a.jpg", 200),
        ("HTTPS://photos.example/b.jpg", 200),
        ("http://photos.example/a.jpg", 422),
        ("https://other.example/a.jpg", 422),
        ("file:///etc/passwd", 400),
    ):
        response = client.post("/v1/chat/completions", json={"messages": chat(place)})
        assert response.status_code == status, response.get_json()
        response = client.post("/v1/responses", json={"input": items(place)})
        assert response.status_code == status, response.get_json()
    assert fetched == [
        url for url in ("https://photos.example/a.jpg", "https://photos.example/b.jpg") for _ in range(2)
    ]


def test_a_real_model_s_caption_and_where_it_is_cut(
    small_checkpoint_file: Path, photo: MakePhoto, serve: Serve
) -> None:
    predictor = CaptionPredictor.from_checkpoint(small_checkpoint_file)
    expected = predictor.caption(photo())
    messages, given = chat(data_uri(photo())), items(data_uri(photo()))
    with serve(create_app(predictor)) as url, connect(url) as client:
        completion = client.chat.completions.create(model="small", messages=messages)
        short = client.chat.completions.create(model="small", messages=messages, max_tokens=1)
        cut = client.responses.create(model="small", input=given, max_output_tokens=1)
        with client.responses.create(model="small", input=given, max_output_tokens=1, stream=True) as stream:
            *_, last = stream
    assert completion.choices[0].message.content == expected.text
    assert short.choices[0].finish_reason == "length"
    assert cut.incomplete_details is not None
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (last.type, json.loads(last.to_json())["response"]["status"]) == ("response.incomplete", "incomplete")
