"""The interfaces of other systems, called as their clients call them, over a real server."""

import base64
import hashlib
import io
import json
import math
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from flask import Flask
from flask.testing import FlaskClient
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from werkzeug.test import TestResponse

from captioner.predictor import CaptionPredictor
from captioner.types import Caption
from service import Settings, create_app
from service.inference.engine import Engine
from service.inference.jobs import Model
from service.web.adapters.hugging_face import decoding_values
from service.web.adapters.max import UNSTATED
from service.web.adapters.v2 import OUTPUTS
from service.web.parameters import DECODING
from tests.support.fakes import FakeInfo, FakePredictor, Recorder, fake_caption

MakePhoto = Callable[..., bytes]
Serve = Callable[[Flask], AbstractContextManager[str]]
INFER = "/v2/models/fake/infer"


@pytest.fixture
def url(app: Flask, serve: Serve) -> Iterator[str]:
    with serve(app) as found:
        yield found


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


class TestMax:
    """IBM's MAX Image Caption Generator."""

    def test_predicts_as_max_does(self, client: FlaskClient, photo: MakePhoto) -> None:
        response = client.post("/model/predict", data={"image": (io.BytesIO(photo(7)), "a.jpg")})
        answer = response.get_json()
        assert (response.status_code, list(answer), answer["status"]) == (200, ["status", "predictions"], "ok")
        assert [list(one) for one in answer["predictions"]] == [["index", "caption", "probability"]] * 3
        assert [one["index"] for one in answer["predictions"]] == ["0", "1", "2"]
        assert answer["predictions"][0]["caption"] == "a photo of red 7"
        assert answer["predictions"][0]["probability"] == pytest.approx(math.exp(-4))

    def test_predictions_are_in_order_of_probability(self, photo: MakePhoto) -> None:
        class Ranked(FakePredictor):  # as with a length penalty: the best is not the likeliest
            def captions(self, images: Any, options: Any, *, activations: bool = False) -> list[list[Caption]]:  # noqa: ARG002
                return [[fake_caption(("a", str(p)), p, activations) for p in (-3.0, -1.0, -2.0)] for _ in images]

        answer = create_app(Ranked()).test_client().post("/model/predict", data=photo()).get_json()
        assert [one["caption"] for one in answer["predictions"]] == ["a -1.0", "a -2.0", "a -3.0"]
        assert [one["index"] for one in answer["predictions"]] == ["0", "1", "2"]

    @pytest.mark.parametrize(
        ("provenance", "expected"),
        [({}, UNSTATED), ({"license": ""}, UNSTATED), ({"license": "CC-BY-4.0"}, "CC-BY-4.0")],
    )
    def test_tells_the_licence_of_the_model(self, provenance: dict[str, str], expected: str) -> None:
        class Licensed(FakePredictor):
            info = FakeInfo(details={"provenance": provenance})

        answer = create_app(Licensed()).test_client().get("/model/metadata").get_json()
        assert answer["license"] == expected
        assert "Apache" not in answer["license"]

    def test_tells_what_it_is(self, client: FlaskClient) -> None:
        answer = client.get("/model/metadata").get_json()
        assert list(answer) == ["id", "name", "description", "type", "source", "license"]
        assert (answer["id"], answer["type"]) == ("fake-1.2.3", "Image-to-Text Translation")

    @pytest.mark.parametrize(
        ("form", "status"),
        [
            ({}, 400),
            ({"image": "text"}, 400),
            ({"image": (io.BytesIO(b"<svg/>"), "a.svg")}, 415),
            ({"image": (io.BytesIO(b"GIF89a"), "a.gif")}, 422),
            ({"image": (io.BytesIO(b"GIF89a"), "a.gif"), "beam_size": "3"}, 422),
        ],
    )
    def test_errors_are_max_s(self, client: FlaskClient, form: dict[str, Any], status: int) -> None:
        response = client.post("/model/predict", data=form, content_type="multipart/form-data")
        answer = response.get_json()
        assert (response.status_code, response.mimetype) == (status, "application/json")
        assert (list(answer), answer["status"]) == (["status", "message"], "error")
        assert response.headers["Cache-Control"] == "no-store"


class TestHuggingFace:
    """Hugging Face's image-to-text."""

    @pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
    def test_its_own_client_captions_a_photo(self, url: str, photo: MakePhoto, image_format: str) -> None:
        data = photo(9, image_format=image_format)
        answer = InferenceClient(model=f"{url}/hf").image_to_text(data)
        assert answer.generated_text is not None
        assert answer.generated_text.startswith("a photo of red ")

    def test_its_own_client_sends_a_file_and_a_key(self, serve: Serve, photo: MakePhoto, tmp_path: Path) -> None:
        keys, file = tmp_path / "keys", tmp_path / "photo.png"
        keys.write_text(hashlib.sha256(b"hf_key").hexdigest(), encoding="utf-8")
        file.write_bytes(photo(8))
        with serve(create_app(FakePredictor(), Settings(api_keys=keys))) as url:
            answer = InferenceClient(model=f"{url}/hf", token="hf_key").image_to_text(file)  # noqa: S106 - made up
            assert answer.generated_text == "a photo of red 8"
            with pytest.raises(HfHubHTTPError, match="401"):
                InferenceClient(model=f"{url}/hf", token="wrong").image_to_text(file)  # noqa: S106

    def test_json_with_parameters(self, photo: MakePhoto) -> None:
        recorder = Recorder()
        client = create_app(recorder).test_client()
        given = {
            "max_new_tokens": 9,
            "generation_parameters": {"num_beams": 4, "num_return_sequences": 2, "early_stopping": None},
        }
        answer = client.post("/hf", json={"inputs": base64_of(photo(7)), "parameters": given}).get_json()
        assert answer == [{"generated_text": "a photo of red 7"}, {"generated_text": "a photo-2 of red 7"}]
        [options] = recorder.options
        assert (options.max_length, options.beam_size, options.num_captions) == (9, 4, 2)

    def test_sampling(self) -> None:
        values = decoding_values({"generate_kwargs": {"do_sample": True, "top_k": 5, "temperature": 0.5}})
        assert values == {"search": "sample", "top_k": 5, "temperature": 0.5}
        assert decoding_values({"do_sample": False}) == {}

    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            ({}, 400, "inputs must be"),
            ({"inputs": "no base64"}, 400, "inputs must be"),
            ({"inputs": "PHN2Zy8+"}, 415, "SVG"),
            ({"inputs": "PHN2Zy8+", "options": {}}, 400, "'options' is not known"),
            ({"parameters": {"num_beams": 99}}, 422, "num_beams is 99"),
            ({"parameters": {"typical_p": 0.9}}, 422, "'typical_p' is not a parameter"),
            ({"parameters": {"max_length": 5, "max_new_tokens": 5}}, 422, "says the same"),
            ({"parameters": {"num_beams": 2, "generate_kwargs": {"num_beams": 2}}}, 422, "given 2 times"),
            ({"parameters": {"generate_kwargs": 3}}, 422, "generate_kwargs must be a JSON object"),
            ({"parameters": [1]}, 422, "parameters must be a JSON object"),
            ({"parameters": {"temperature": 0.5}}, 422, "temperature is 0.5"),
        ],
    )
    def test_errors_are_hugging_face_s(
        self, client: FlaskClient, photo: MakePhoto, body: dict[str, Any], status: int, words: str
    ) -> None:
        whole = {"inputs": base64_of(photo()), **body} if "parameters" in body else body
        response = client.post("/hf", json=whole)
        assert (response.status_code, response.mimetype) == (status, "application/json")
        assert list(response.get_json()) == ["error"]
        assert words in response.get_json()["error"]

    def test_parameters_in_the_query_are_not_ignored(self, client: FlaskClient, photo: MakePhoto) -> None:
        assert client.post("/hf?num_beams=2", data=photo()).status_code == 422


class V2Client:
    """A client that follows the protocol's specification, and knows nothing else."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        return self.ask(urllib.request.Request(self.url + path))  # noqa: S310 - http, as the server says

    def infer(self, model: str, body: dict[str, Any], version: str | None = None) -> tuple[int, dict[str, Any]]:
        path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return self.ask(urllib.request.Request(self.url + path, data, headers))  # noqa: S310

    def ask(self, request: urllib.request.Request) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                return response.status, json.load(response)
        except HTTPError as error:
            return error.code, json.load(error)


def request_body(*photos: bytes, **more: Any) -> dict[str, Any]:
    tensor = {
        "name": "image",
        "shape": [len(photos)],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64_of(photo) for photo in photos],
    }
    return {"inputs": [tensor], **more}


def tensors(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {tensor["name"]: tensor for tensor in answer["outputs"]}


class TestV2:
    """The Open Inference Protocol, version 2."""

    def test_a_client_finds_the_model_and_captions_photos(self, url: str, photo: MakePhoto) -> None:
        client = V2Client(url)
        assert client.get("/v2/health/live") == (200, {"live": True})
        assert client.get("/v2/health/ready") == (200, {"ready": True})
        assert set(client.get("/v2")[1]) == {"name", "version", "extensions"}
        status, model = client.get("/v2/models/fake")
        [version] = model["versions"]
        assert (status, model["name"], version) == (200, "fake", "1.2.3")
        assert client.get(f"/v2/models/fake/versions/{version}/ready") == (200, {"name": "fake", "ready": True})
        [expected] = model["inputs"]
        body = request_body(photo(1), photo(2), id="42")
        assert (body["inputs"][0]["name"], body["inputs"][0]["datatype"]) == (expected["name"], expected["datatype"])
        for asked in (None, version):
            status, answer = client.infer("fake", body, asked)
            assert (status, answer["id"], answer["model_name"], answer["model_version"]) == (200, "42", "fake", "1.2.3")
            found = tensors(answer)
            assert {(name, one["datatype"]) for name, one in found.items()} == {
                (one["name"], one["datatype"]) for one in model["outputs"]
            }
            assert found["caption"]["data"] == ["a photo of red 1", "a photo of red 2"]
            assert found["log_prob"]["data"] == [-4.0, -4.0]
            assert all(one["shape"] == [2] for one in found.values())

    def test_outputs_are_those_that_are_asked_for(self, client: FlaskClient, photo: MakePhoto) -> None:
        body = request_body(photo(), outputs=[{"name": "caption", "parameters": {"binary_data": False}}])
        assert list(tensors(client.post(INFER, json=body).get_json())) == ["caption"]
        assert list(tensors(client.post(INFER, json=request_body(photo())).get_json())) == list(OUTPUTS)

    def test_options_are_parameters(self, photo: MakePhoto) -> None:
        recorder = Recorder()
        client = create_app(recorder).test_client()
        body = request_body(photo(1), photo(2), parameters={"num_captions": 3, "binary_data_output": False})
        caption = tensors(client.post(INFER, json=body).get_json())["caption"]
        assert caption["shape"] == [2, 3]
        assert len(caption["data"]) == 6
        assert caption["data"][:4:3] == ["a photo of red 1", "a photo of red 2"]
        assert {options.num_captions for options in recorder.options} == {3}

    def test_a_batch_of_rows(self, client: FlaskClient, photo: MakePhoto) -> None:
        body = request_body(photo(3))
        body["inputs"][0] |= {"shape": [1, 1], "data": [[base64_of(photo(3))]]}
        assert tensors(client.post(INFER, json=body).get_json())["caption"]["data"] == ["a photo of red 3"]

    def test_without_an_id_there_is_none(self, client: FlaskClient, photo: MakePhoto) -> None:
        assert "id" not in client.post(INFER, json=request_body(photo())).get_json()

    @pytest.mark.parametrize("path", ["", "/ready", "/versions/1.2.3", "/versions/1.2.3/ready"])
    def test_models_that_are_not_there(self, client: FlaskClient, path: str) -> None:
        assert client.get(f"/v2/models/fake{path}").status_code == 200
        for wrong in (f"/v2/models/other{path}", f"/v2/models/fake{path}".replace("1.2.3", "9")):
            if wrong != f"/v2/models/fake{path}":
                self.check_error(client.get(wrong), 404, "only the model 'fake', version '1.2.3'")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"inputs": []}, "a list of one tensor"),
            ({"inputs": {}}, "a list of one tensor"),
            ({"name": "photo"}, "name 'image'"),
            ({"datatype": "FP32"}, "datatype 'BYTES'"),
            ({"shape": [2]}, "shape must be [1]"),
            ({"shape": None}, "shape must be [1]"),
            ({"data": []}, "1 to 8 images"),
            ({"data": "x"}, "1 to 8 images"),
            ({"data": [["x", "y"]]}, "base64"),
            ({"data": ["no base64"]}, "base64"),
            ({"data": [None]}, "base64"),
            ({"parameters": {"content_type": "str"}}, "content_type 'base64'"),
            ({"parameters": {"binary_data_size": 3}}, "needs the header Inference-Header-Content-Length"),
            ({"parameters": {"binary_data": True}}, "may only be binary_data_size"),
            ({"outputs": [{"name": "caption", "parameters": {"classification": 2}}]}, "may only be binary_data"),
            ({"outputs": [{"name": "caption", "parameters": {"binary_data": 1}}]}, "binary_data is 1"),
            ({"parameters": 3}, "JSON object"),
            ({"outputs": [{"name": "words"}]}, "some of caption, log_prob, probability"),
            ({"outputs": [{"name": "caption"}] * 2}, "each once"),
            ({"outputs": [{}]}, "some of caption"),
            ({"outputs": 3}, "list of objects"),
            ({"id": 42}, "id must be a text"),
            ({"priority": 1}, "'priority' is not part of the protocol"),
        ],
    )
    def test_requests_that_do_not_fit(
        self, client: FlaskClient, photo: MakePhoto, change: dict[str, Any], words: str
    ) -> None:
        body = request_body(photo())
        target = body["inputs"][0] if set(change) & {"name", "datatype", "shape", "data", "parameters"} else body
        target.update(change)
        self.check_error(client.post(INFER, json=body), 400, words)

    def test_photos_and_options_that_do_not_fit(self, client: FlaskClient, photo: MakePhoto) -> None:
        self.check_error(client.post(INFER, json=request_body(photo(), b"text")), 415, "not a supported image")
        wrong = request_body(photo(), parameters={"beam_size": 99})
        self.check_error(client.post(INFER, json=wrong), 422, "beam_size is 99")
        unknown = request_body(photo(), parameters={"num_beams": 2})
        self.check_error(client.post(INFER, json=unknown), 422, ", ".join(DECODING))
        self.check_error(client.post(INFER, data=b"{", content_type="application/json"), 400, "JSON")

    def test_it_is_as_ready_as_the_service(self) -> None:
        engine = Engine(Settings())
        client = create_app(engine).test_client()
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/ready").get_json() == {"ready": False}
        engine.use(Model(FakePredictor()))
        for is_ready in (True, False):
            ready = client.get("/v2/health/ready")
            assert (ready.status_code, ready.get_json()) == (200 if is_ready else 503, {"ready": is_ready})
            named = client.get("/v2/models/fake/ready")
            assert (named.status_code, named.get_json()["ready"]) == (ready.status_code, is_ready)
            engine.drain(0)

    def check_error(self, response: TestResponse, status: int, words: str) -> None:
        assert (response.status_code, response.mimetype) == (status, "application/json"), response.get_json()
        assert list(response.get_json()) == ["error"]
        assert words in response.get_json()["error"]


def test_all_give_a_real_model_s_own_caption(small_checkpoint_file: Path, photo: MakePhoto, serve: Serve) -> None:
    predictor = CaptionPredictor.from_checkpoint(small_checkpoint_file)
    expected = predictor.caption(photo())
    with serve(create_app(predictor)) as url:
        assert InferenceClient(model=f"{url}/hf").image_to_text(photo()).generated_text == expected.text
        status, answer = V2Client(url).infer("small", request_body(photo()), "7")
        request = urllib.request.Request(f"{url}/model/predict", photo())  # noqa: S310 - http, as the server says
        _, predicted = V2Client(url).ask(request)
    assert (status, tensors(answer)["caption"]["data"]) == (200, [expected.text])
    assert tensors(answer)["log_prob"]["data"] == [pytest.approx(expected.log_prob, abs=1e-4)]
    assert predicted["predictions"][0]["caption"] == expected.text
    assert predicted["predictions"][0]["probability"] == pytest.approx(math.exp(expected.log_prob), abs=1e-6)
