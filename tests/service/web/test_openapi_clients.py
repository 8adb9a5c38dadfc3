"""Clients that generators make from /openapi.json, used at a real server: openapi-python-client, openapi-typescript."""

import base64
import importlib
import io
import json
import pkgutil
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service import Settings, create_app
from service.server import addresses, open_server, stop_server
from tests.support.fakes import FakePredictor

pytestmark = pytest.mark.slow
MakePhoto = Callable[..., bytes]
Load = Callable[[str], Any]
PACKAGE = "captioner_client"
# The generator knows no pictures: to it they are bytes.
CONFIGURATION = {"content_type_overrides": {"image/png": "application/octet-stream"}, "post_hooks": []}
TYPESCRIPT = Path(__file__).parent / "typescript"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that keeps answers, so that a client sees all fields."""
    settings = Settings(port=0, cache_bytes=2**20)
    server = open_server(create_app(FakePredictor(), settings), settings)
    loop = threading.Thread(target=server.run)
    loop.start()
    yield addresses(server)[0]
    stop_server(server)
    loop.join()


@pytest.fixture(scope="module")
def python_client(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package that openapi-python-client makes; a warning, as of an operation that it leaves out, is an error."""
    folder = tmp_path_factory.mktemp("python")
    config = folder / "config.json"
    config.write_text(json.dumps(CONFIGURATION), encoding="utf-8")
    package = folder / PACKAGE
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--url", f"{url}/openapi.json"]
    options = ["--meta", "none", "--fail-on-warning", "--config", str(config), "--output-path", str(package)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield package
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def load(python_client: Path) -> Load:
    """Return what imports a module of the client."""
    return lambda name: importlib.import_module(f"{PACKAGE}.{name}")


@pytest.fixture
def client(load: Load, url: str) -> Iterator[Any]:
    with load("client").Client(base_url=url, timeout=30) as made:
        yield made


@pytest.fixture
def file(load: Load, photo: MakePhoto) -> Callable[[int], Any]:
    return lambda red: load("types").File(io.BytesIO(photo(red)), "photo.png", "image/png")


def text_of(found: Any) -> str:
    return str(found.captions[0].text)


class TestPython:
    """openapi-python-client."""

    def test_every_module_can_be_imported(self, python_client: Path, url: str) -> None:
        modules = [found.name for found in pkgutil.walk_packages([str(python_client)], f"{PACKAGE}.")]
        for name in modules:
            importlib.import_module(name)
        with urllib.request.urlopen(f"{url}/openapi.json", timeout=30) as response:  # noqa: S310 - http, as it says
            paths = json.load(response)["paths"]
        operations = sum(len(set(item) & {"get", "post"}) for item in paths.values())
        assert len([name for name in modules if name.count(".") == 3]) == operations

    def test_a_form(self, load: Load, client: Any, file: Callable[[int], Any]) -> None:
        models, caption = load("models"), load("api.captions.caption")
        body = models.CaptionFilesBody(image=[file(1), file(2)], num_captions=7)  # more than the usual beam
        results = caption.sync(client=client, body=body).results
        assert [text_of(one) for one in results] == ["a photo of red 1", "a photo of red 2"]
        assert [len(one.captions) for one in results] == [7, 7]
        body = models.CaptionFilesBody(image=[file(3)], activations=True)
        one = caption.sync(client=client, body=body, max_length=9)
        assert text_of(one) == "a photo of red 3"
        assert one.captions[0].activations.additional_properties

    def test_json(self, load: Load, client: Any, photo: MakePhoto) -> None:
        image = base64.b64encode(photo(4)).decode()
        models, caption = load("models"), load("api.captions.caption")
        body = models.CaptionJsonBodyType0(image=image, search=models.CaptionJsonBodyType0Search.SAMPLE, seed=3)
        fresh, kept = (caption.sync(client=client, body=body) for _ in range(2))
        assert (text_of(fresh), text_of(kept)) == ("a photo of red 4", "a photo of red 4")
        assert (bool(fresh.cached), kept.cached) == (False, True)

    def test_the_photo_as_the_body(self, load: Load, client: Any, file: Callable[[int], Any]) -> None:
        api = load("api.captions.caption")
        assert text_of(api.sync(client=client, body=file(5), activations=True)) == "a photo of red 5"
        score = load("api.captions.score").sync(client=client, body=file(5), text="a photo").score
        assert [word.known for word in score.words] == [True, True]
        drawn = load("api.captions.draw").sync(client=client, body=file(5), word=1)
        assert drawn.payload.read().startswith(b"\x89PNG")

    def test_problems(self, load: Load, client: Any, file: Callable[[int], Any]) -> None:
        api, problem = load("api.captions.caption"), load("models").Problem
        found = api.sync(client=client, body=file(6), beam_size=99)
        assert (isinstance(found, problem), found.status) == (True, 422)
        assert found.detail.startswith("beam_size is '99'")

    def test_the_model_and_its_health(self, load: Load, client: Any) -> None:
        assert load("api.captions.describe_model").sync(client=client).sha256 == 64 * "f"
        assert load("api.health.ready").sync(client=client).status == "ready"

    def test_the_other_interfaces(self, load: Load, client: Any, file: Callable[[int], Any], photo: MakePhoto) -> None:
        models = load("models")
        said = load("api.max_.max_predict").sync(client=client, body=models.MaxPredictFilesBody(image=file(7)))
        assert said.predictions[0].caption == "a photo of red 7"
        [text] = load("api.hugging_face.hugging_face").sync(client=client, body=file(8))
        assert text.generated_text == "a photo of red 8"
        tensor = {
            "name": "image",
            "shape": [1],
            "datatype": "BYTES",
            "data": [base64.b64encode(photo(9)).decode()],
        }
        body = models.V2InferJsonBody.from_dict({"inputs": [tensor], "outputs": [{"name": "caption"}]})
        v2 = "api.open_inference_protocol_v2"
        answer = load(f"{v2}.v_2_infer").sync("fake", client=client, body=body)
        assert answer.outputs[0].data == ["a photo of red 9"]
        assert "only the model 'fake'" in load(f"{v2}.v_2_model").sync("other", client=client).error
        assert load(f"{v2}.v_2_models").sync(client=client)[0].state == "READY"


@pytest.fixture(scope="module")
def node(request: pytest.FixtureRequest) -> Path:
    """The folder of the TypeScript client, with what npm installs into it, which is kept for the next time."""
    folder = request.config.cache.mkdir("typescript")
    for name in ("package.json", "program.ts"):
        shutil.copy(TYPESCRIPT / name, folder)
    run(folder, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
    return folder


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_typescript(node: Path, url: str, photo: MakePhoto) -> None:
    run(node, "npx", "--no-install", "openapi-typescript", f"{url}/openapi.json", "--output", "schema.d.ts")
    checks = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes"]
    target = ["--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom,dom.iterable"]
    run(node, "npx", "--no-install", "tsc", *checks, *target, "program.ts")
    assert json.loads(run(node, "node", "program.js", url, base64.b64encode(photo(7)).decode())) == {
        "json": ["a photo of red 7", "a photo-2 of red 7"],
        "form": ["a photo of red 7"] * 2,
        "refused": "415",
        "model": "fake 1.2.3",
    }
