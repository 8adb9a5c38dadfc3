"""The usual client of the Open Inference Protocol, ``tritonclient.http``, at a real server."""

import base64
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
from flask import Flask
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from service import Settings, create_app
from service.inference.engine import Engine
from service.inference.jobs import Model
from tests.support.fakes import FakePredictor

pytestmark = pytest.mark.slow
MakePhoto = Callable[..., bytes]
Serve = Callable[[Flask], AbstractContextManager[str]]
NAME, VERSION = "fake", "1.2.3"


@pytest.fixture
def triton(app: Flask, serve: Serve) -> Iterator[InferenceServerClient]:
    with serve(app) as url, connect(url) as client:
        yield client


@contextmanager
def connect(url: str) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(url.removeprefix("http://")) as client:
        yield client


def tensor(*photos: bytes | str, binary: bool = True, column: bool = False) -> list[InferInput]:
    data = np.array(photos, dtype=object).reshape((-1, 1) if column else (-1,))
    return [InferInput("image", list(data.shape), "BYTES").set_data_from_numpy(data, binary_data=binary)]


def texts(result: InferResult) -> list[str]:
    return [text.decode() if isinstance(text, bytes) else text for text in result.as_numpy("caption").ravel()]


class TestAsking:
    """What the client can ask besides captions."""

    def test_health_and_metadata(self, triton: InferenceServerClient) -> None:
        assert triton.is_server_live()
        assert triton.is_server_ready()
        assert triton.is_model_ready(NAME)
        assert triton.is_model_ready(NAME, VERSION)
        assert not triton.is_model_ready("other")
        assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
        for version in ("", VERSION):
            model = triton.get_model_metadata(NAME, version)
            config = triton.get_model_config(NAME, version)
            assert (model["name"], model["versions"], config["name"]) == (NAME, [VERSION], NAME)
            for theirs, ours in ((config["input"], model["inputs"]), (config["output"], model["outputs"])):
                assert [(one["name"], one["dims"]) for one in theirs] == [(one["name"], one["shape"]) for one in ours]
                types = {"TYPE_STRING": "BYTES", "TYPE_FP32": "FP32"}
                assert [types[one["data_type"]] for one in theirs] == [one["datatype"] for one in ours]

    def test_the_index_of_models(self, triton: InferenceServerClient) -> None:
        [model] = triton.get_model_repository_index()
        assert model == {"name": NAME, "version": VERSION, "state": "READY", "reason": ""}

    def test_before_a_model_and_after_the_last(self, serve: Serve, photo: MakePhoto) -> None:
        engine = Engine(Settings())
        with serve(create_app(engine)) as url, connect(url) as triton:
            assert triton.is_server_live()
            assert not triton.is_server_ready()
            assert triton.get_model_repository_index() == []
            refused(503, "load", lambda: triton.infer(NAME, tensor(photo())))
            engine.use(Model(FakePredictor()))
            assert triton.is_model_ready(NAME)
            engine.drain(0)
            assert not triton.is_model_ready(NAME)
            [model] = triton.get_model_repository_index()
            assert (model["state"], "stop" in model["reason"]) == ("UNAVAILABLE", True)
            refused(503, "stop", lambda: triton.infer(NAME, tensor(photo())))


class TestCaptions:
    """Photos to captions, in every way in which the client sends and receives them."""

    @pytest.mark.parametrize("column", [False, True])
    @pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
    def test_photos_as_they_are(
        self, triton: InferenceServerClient, photo: MakePhoto, image_format: str, column: bool
    ) -> None:
        photos = [photo(red, image_format=image_format) for red in (1, 200)]
        result = triton.infer(NAME, tensor(*photos, column=column), model_version=VERSION, request_id="42")
        alone = [texts(triton.infer(NAME, tensor(one)))[0] for one in photos]
        assert len(set(alone)) == 2
        assert texts(result) == alone
        answer = result.get_response()
        assert (answer["model_name"], answer["model_version"], answer["id"]) == (NAME, VERSION, "42")
        assert all("data" not in output for output in answer["outputs"])  # they came as bytes
        assert result.as_numpy("log_prob").dtype == np.float32
        assert result.as_numpy("log_prob").tolist() == [-4.0, -4.0]
        assert result.as_numpy("probability").tolist() == [pytest.approx(math.exp(-4))] * 2

    @pytest.mark.parametrize("caption", [False, True])
    @pytest.mark.parametrize("log_prob", [False, True])
    def test_each_output_comes_as_it_is_asked_for(
        self, triton: InferenceServerClient, photo: MakePhoto, caption: bool, log_prob: bool
    ) -> None:
        outputs = [
            InferRequestedOutput("log_prob", binary_data=log_prob),
            InferRequestedOutput("caption", binary_data=caption),
        ]
        result = triton.infer(NAME, tensor(photo(7)), outputs=outputs)
        assert ["data" in output for output in result.get_response()["outputs"]] == [not log_prob, not caption]
        assert texts(result) == ["a photo of red 7"]
        assert result.as_numpy("log_prob").tolist() == [-4.0]
        assert result.as_numpy("probability") is None

    def test_base64_in_json(self, triton: InferenceServerClient, photo: MakePhoto) -> None:
        given = tensor(base64.b64encode(photo(9)).decode(), binary=False)
        assert texts(triton.infer(NAME, given)) == ["a photo of red 9"]

    @pytest.mark.parametrize("answer", [None, "gzip", "deflate"])
    @pytest.mark.parametrize("request_", [None, "gzip", "deflate"])
    def test_compressed(
        self, triton: InferenceServerClient, photo: MakePhoto, request_: str | None, answer: str | None
    ) -> None:
        result = triton.infer(
            NAME, tensor(photo(5)), request_compression_algorithm=request_, response_compression_algorithm=answer
        )
        assert texts(result) == ["a photo of red 5"]

    def test_options(self, triton: InferenceServerClient, photo: MakePhoto) -> None:
        result = triton.infer(NAME, tensor(photo(1), photo(2)), parameters={"num_captions": 3, "max_length": 9})
        assert result.as_numpy("caption").shape == (2, 3)
        assert result.as_numpy("caption")[1].tolist() == [
            b"a photo of red 2",
            b"a photo-2 of red 2",
            b"a photo-3 of red 2",
        ]

    def test_in_the_background(self, triton: InferenceServerClient, photo: MakePhoto) -> None:
        waiting = [triton.async_infer(NAME, tensor(photo(red))) for red in (3, 4)]
        assert [texts(one.get_result()) for one in waiting] == [["a photo of red 3"], ["a photo of red 4"]]


def refused(status: int, words: str, call: Callable[[], object]) -> None:
    """Check that the client reads an error's words: it raises something else where the answer is not its own."""
    with pytest.raises(InferenceServerException) as caught:
        call()
    assert (caught.value.status(), words in caught.value.message()) == (str(status), True), caught.value


class TestErrors:
    """Errors arrive in words, whatever the client asks."""

    def test_models_that_are_not_there(self, triton: InferenceServerClient, photo: MakePhoto) -> None:
        asks: list[Callable[[], object]] = [
            lambda: triton.infer("other", tensor(photo())),
            lambda: triton.infer(NAME, tensor(photo()), model_version="9"),
            lambda: triton.get_model_metadata("other"),
            lambda: triton.get_model_config("other"),
            triton.get_inference_statistics,  # those of all models, at the address of a model "stats"
        ]
        for call in asks:
            refused(404, "there is only the model 'fake'", call)

    def test_what_is_not_offered(self, triton: InferenceServerClient) -> None:
        calls: list[Callable[[], object]] = [
            lambda: triton.load_model(NAME),
            lambda: triton.unload_model(NAME),
            lambda: triton.get_inference_statistics(NAME),
            triton.get_trace_settings,
            lambda: triton.update_trace_settings(settings={"trace_rate": "1"}),
            triton.get_log_settings,
            lambda: triton.update_log_settings({"log_info": True}),
            triton.get_system_shared_memory_status,
            lambda: triton.register_system_shared_memory("a", "/a", 4),
            triton.unregister_cuda_shared_memory,
        ]
        for call in calls:
            refused(404, "binary_tensor_data and model_configuration", call)

    def test_tensors_and_options_that_do_not_fit(self, triton: InferenceServerClient, photo: MakePhoto) -> None:
        floats = InferInput("image", [1], "FP32").set_data_from_numpy(np.ones(1, np.float32))
        other = InferInput("photo", [1], "BYTES").set_data_from_numpy(np.array([photo()], dtype=object))
        shared = InferInput("image", [1], "BYTES").set_shared_memory("region", 9)
        asks: list[tuple[int, str, Callable[[], object]]] = [
            (400, "datatype 'BYTES'", lambda: triton.infer(NAME, [floats])),
            (400, "name 'image'", lambda: triton.infer(NAME, [other])),
            (400, "may only be binary_data_size", lambda: triton.infer(NAME, [shared])),
            (400, "a list of one tensor", lambda: triton.infer(NAME, [])),
            (400, "a list of one tensor", lambda: triton.infer(NAME, tensor(photo()) * 2)),
            (400, "1 to 8 images", lambda: triton.infer(NAME, tensor(*[photo()] * 9))),
            (400, "empty or cut off", lambda: triton.infer(NAME, tensor(photo(), b""))),
            (415, "not a supported image", lambda: triton.infer(NAME, tensor(b"text"))),
            (422, "truncated", lambda: triton.infer(NAME, tensor(photo(image_format="JPEG")[:-200]))),
            (422, "priority", lambda: triton.infer(NAME, tensor(photo()), priority=1)),
            (422, "beam_size is 99", lambda: triton.infer(NAME, tensor(photo()), parameters={"beam_size": 99})),
            (
                400,
                "some of caption",
                lambda: triton.infer(NAME, tensor(photo()), outputs=[InferRequestedOutput("words")]),
            ),
            (
                400,
                "may only be binary_data",
                lambda: triton.infer(NAME, tensor(photo()), outputs=[InferRequestedOutput("caption", class_count=2)]),
            ),
            (413, "MiB", lambda: triton.infer(NAME, tensor(bytes(1_200_000)))),
        ]
        for status, words, call in asks:
            refused(status, words, call)
        assert texts(triton.infer(NAME, tensor(photo(6)))) == ["a photo of red 6"]
