"""From start to end: listening before the model is there, new models under load, and a stop that loses nothing."""

import hashlib
import http.client
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from captioner.checkpoint import Checkpoint, save_checkpoint
from captioner.errors import CheckpointError, OptionError
from service import Settings, create_app
from service.inference.engine import Engine
from service.inference.jobs import Asking, Model
from service.lifecycle import CUT_OFF, DONE, FAILED, FileWatch, Lifecycle, load_model
from service.server import addresses, open_server
from tests.support.answers import write_answers
from tests.support.fakes import FakeInfo, FakePredictor
from tests.support.gates import PATIENCE, Gate, Listener

pytestmark = pytest.mark.slow
MakePhoto = Callable[..., bytes]
URL = "/v1/captions"
CLIENTS = 6
LONG = 240  # seconds in which a process must have done what it is asked


def ask(netloc: str, path: str, data: bytes | None = None) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(netloc, timeout=PATIENCE)
    try:
        connection.request("GET" if data is None else "POST", path, data)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), json.loads(response.read())
    finally:
        connection.close()


class Home:
    """A whole service in this process, whose models are made by the test."""

    def __init__(self, path: Path, **changes: Any) -> None:
        self.listener = Listener()
        self.wishes: list[Model | Exception] = []
        self.may_load = threading.Semaphore(0)
        self.was_loaded = threading.Semaphore(0)
        settings = Settings(port=0, checkpoint=path, **{"reload_seconds": 0, "drain_seconds": PATIENCE, **changes})
        self.engine = Engine(settings, self.listener)
        server = open_server(create_app(self.engine, settings), settings)
        self.netloc = urlsplit(addresses(server)[0]).netloc
        self.is_ready = threading.Event()
        self.life = Lifecycle(self.engine, server, settings, lambda _: self.is_ready.set(), self._load)

    def _load(self, _: Settings) -> Model:
        assert self.may_load.acquire(timeout=PATIENCE)
        found = self.wishes.pop(0)
        try:
            if isinstance(found, Exception):
                raise found
            return found
        finally:
            self.was_loaded.release()

    def offer(self, model: Model | Exception) -> None:
        """Let the next load return this."""
        self.wishes.append(model)
        self.may_load.release()

    def run(self, story: Callable[[], None]) -> int:
        """Serve while a story happens in another thread, then stop; return the exit status."""

        def tell() -> None:
            try:
                story()
            finally:
                self.life.stop()

        with ThreadPoolExecutor(1) as thread:
            told = thread.submit(tell)
            status = self.life.run()
            told.result(PATIENCE)
        return status

    def version(self) -> str:
        return str(ask(self.netloc, "/readyz")[2]["model"]["version"])


def fake_model(version: str, sha256: str = "") -> Model:
    class Versioned(FakePredictor):
        info = FakeInfo("fake", version, sha256)

    return Model(Versioned())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "model")


def test_it_listens_at_once_and_is_ready_when_the_model_is_warm(home: Home, photo: MakePhoto) -> None:
    gate = Gate()

    def story() -> None:
        for path, data, status in (("/livez", None, 200), ("/readyz", None, 503), (URL, photo(), 503)):
            answer = ask(home.netloc, path, data)
            assert answer[0] == status
            assert status == 200 or int(answer[1]["Retry-After"]) >= 1
        home.offer(Model(gate))
        gate.wait_until_entered()
        assert ask(home.netloc, "/readyz")[0] == 503  # still warming up
        gate.opened.set()
        assert home.is_ready.wait(PATIENCE)
        assert ask(home.netloc, "/readyz")[0] == 200
        assert ask(home.netloc, URL, photo(3))[0] == 200

    assert home.run(story) == DONE
    assert [len(batch) for batch in gate.batches] == [1, 2, 3, 4, 6, 8, 12, 16, 1]
    assert home.listener.models == [("fake", "1.2.3", 64 * "f")]
    assert home.listener.readiness == [True, False]
    assert home.life.is_over


@pytest.mark.parametrize("error", [CheckpointError("no such file"), RuntimeError("strange")])
def test_without_a_model_there_is_no_service(home: Home, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    home.offer(error)
    assert home.life.run() == FAILED
    assert str(error) in caplog.text
    assert not home.is_ready.is_set()


def test_a_new_model_is_taken_and_a_bad_one_is_not(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    class Broken(FakePredictor):
        def captions(self, *_: Any, **__: Any) -> Any:
            raise ValueError("cannot caption")

    class Short(FakePredictor):
        def captions(self, *_: Any, **__: Any) -> Any:
            return []

    def reload(model: Model | Exception) -> None:
        home.offer(model)
        home.life.reload()
        assert home.was_loaded.acquire(timeout=PATIENCE)

    def story() -> None:
        home.offer(fake_model("1"))
        assert home.is_ready.wait(PATIENCE)
        assert home.was_loaded.acquire(timeout=PATIENCE)
        assert home.version() == "1"
        for bad in (CheckpointError("damaged"), Model(Broken()), Model(Short())):
            reload(bad)
        reload(fake_model("2", "two"))
        reload(CheckpointError("the last, so that the one before has been dealt with"))
        assert home.version() == "2"

    assert home.run(story) == DONE
    assert [version for _, version, _ in home.listener.models] == ["1", "2"]
    assert home.listener.reloads[:4] == [False, False, False, True]
    for words in ("damaged", "cannot caption", "0 answers to 1 photos", "a new model answers"):
        assert words in caplog.text


def test_a_file_is_new_when_it_has_changed_and_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "model"
    watch = FileWatch(path)
    assert not watch.is_new()
    path.write_bytes(b"one")
    assert [watch.is_new() for _ in range(3)] == [False, True, True]
    watch.remember()
    assert not watch.is_new()
    path.write_bytes(b"other")
    assert not watch.is_new()
    path.write_bytes(b"still growing")
    assert [watch.is_new() for _ in range(2)] == [False, True]
    path.unlink()
    assert [watch.is_new() for _ in range(2)] == [False, False]


def test_the_stop_finishes_what_was_accepted_and_refuses_the_rest(home: Home, photo: MakePhoto) -> None:
    gate = Gate(is_open=True)
    accepted: list[Future[Any]] = []

    def story() -> None:
        home.offer(Model(gate))
        assert home.is_ready.wait(PATIENCE)
        gate.opened.clear()
        while gate.entered.acquire(blocking=False):
            pass
        accepted.append(clients.submit(ask, home.netloc, URL, photo(1)))
        gate.wait_until_entered()
        os.kill(os.getpid(), signal.SIGTERM)
        assert home.listener.has_ended.wait(PATIENCE)
        assert [ask(home.netloc, path)[0] for path in ("/livez", "/readyz")] == [200, 503]
        assert ask(home.netloc, URL, photo(2))[2]["type"] == "urn:captioner:problem:draining"
        gate.opened.set()

    with ThreadPoolExecutor(2) as clients:
        assert home.run(story) == DONE
        [(status, _, answer)] = [future.result(PATIENCE) for future in accepted]
    assert (status, answer["captions"][0]["text"]) == (200, "a photo of red 1")
    assert home.listener.reasons == ["draining"]
    with pytest.raises(ConnectionRefusedError):
        ask(home.netloc, "/livez")


def test_the_stop_does_not_wait_for_ever(tmp_path: Path, photo: MakePhoto, caplog: pytest.LogCaptureFixture) -> None:
    home = Home(tmp_path / "model", drain_seconds=0)
    gate = Gate(is_open=True)

    def story() -> None:
        home.offer(Model(gate))
        assert home.is_ready.wait(PATIENCE)
        gate.opened.clear()
        while gate.entered.acquire(blocking=False):
            pass
        clients.submit(ask, home.netloc, URL, photo(1))
        gate.wait_until_entered()

    with ThreadPoolExecutor(1) as clients:
        assert home.run(story) == CUT_OFF
        assert not home.life.is_over
        gate.opened.set()
    assert "not all that was accepted was finished within 0 seconds" in caplog.text


@dataclass
class Tally:
    """What the clients of a service under load saw."""

    answers: list[tuple[int, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, status: int, version: str) -> None:
        with self.changed:
            self.answers.append((status, version))
            self.changed.notify_all()

    def wait_for(self, is_it: Callable[[list[tuple[int, str]]], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: is_it(self.answers), LONG)

    def wait_for_another(self) -> None:
        now = len(self.answers)
        self.wait_for(lambda answers: len(answers) > now)


@dataclass
class Program:
    """``python -m service`` as a process of its own."""

    process: "subprocess.Popen[str]"
    netloc: str
    log: Path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    running: list[subprocess.Popen[str]] = []
    log = tmp_path / "log"

    def run(checkpoint: Path, *flags: str) -> Program:
        command = [sys.executable, "-m", "service", "--port", "0", "--inference-threads", "1"]
        command += ["--checkpoint", str(checkpoint), *flags]
        with log.open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        running.append(process)
        assert process.stdout is not None
        return Program(process, urlsplit(process.stdout.readline().split()[-1]).netloc, log)

    yield run
    for process in running:
        process.kill()
        process.communicate()


@contextmanager
def load(program: Program, data: bytes, told: threading.Event) -> Iterator[tuple[Tally, list[str]]]:
    """Let clients ask again and again, until they are refused; note what was sent before that was told, but lost."""
    tally, losses, enough = Tally(), list[str](), threading.Event()

    def client() -> None:
        status = 200
        while status == 200 and not enough.is_set():
            connection = http.client.HTTPConnection(program.netloc, timeout=LONG)
            was_told = True
            try:
                connection.request("POST", URL, data)
                was_told = told.is_set()
                response = connection.getresponse()
                status, answer = response.status, json.loads(response.read())
            except (ConnectionError, http.client.HTTPException) as error:
                losses.extend([] if was_told else [repr(error)])
                return
            finally:
                connection.close()
            tally.add(status, answer.get("model", {}).get("version", ""))

    with ThreadPoolExecutor(CLIENTS) as clients:
        running = [clients.submit(client) for _ in range(CLIENTS)]
        try:
            yield tally, losses
        finally:
            enough.set()
        for future in running:
            future.result(LONG)


def test_a_kill_under_load_loses_nothing(
    start: Callable[..., Program], small_checkpoint_file: Path, photo: MakePhoto
) -> None:
    program, told = start(small_checkpoint_file), threading.Event()
    with load(program, photo(), told) as (tally, losses):
        tally.wait_for(lambda answers: len(answers) >= 5 * CLIENTS)
        told.set()
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(LONG) == DONE
    assert losses == []
    assert {status for status, _ in tally.answers} <= {200, 503}
    assert "stopped" in program.log.read_text()


def test_a_new_checkpoint_under_load_costs_no_request(
    start: Callable[..., Program],
    small_checkpoint: Checkpoint,
    small_checkpoint_file: Path,
    photo: MakePhoto,
    tmp_path: Path,
) -> None:
    path, beside = tmp_path / "model.safetensors", tmp_path / "beside.safetensors"
    shutil.copyfile(small_checkpoint_file, path)
    program = start(path, "--reload-seconds", "1")
    with load(program, photo(), threading.Event()) as (tally, losses):
        tally.wait_for(lambda answers: len(answers) >= CLIENTS)
        save_checkpoint(replace(small_checkpoint, provenance={"name": "small", "version": "8"}), beside)
        beside.replace(path)  # found by looking at the file
        tally.wait_for(lambda answers: answers[-1][1] == "8")
        beside.write_bytes(b"no checkpoint at all")
        beside.replace(path)
        program.process.send_signal(signal.SIGHUP)
        while "the old one stays" not in program.log.read_text():
            tally.wait_for_another()
        save_checkpoint(replace(small_checkpoint, provenance={"name": "small", "version": "9"}), beside)
        beside.replace(path)
        program.process.send_signal(signal.SIGHUP)
        tally.wait_for(lambda answers: answers[-1][1] == "9")
    assert losses == []
    assert {status for status, _ in tally.answers} == {200}
    assert {version for _, version in tally.answers} == {"7", "8", "9"}


def test_the_model_s_hash_is_that_of_its_file(small_checkpoint_file: Path) -> None:
    model = load_model(Settings(checkpoint=small_checkpoint_file, inference_threads=1))
    assert (model.name, model.version) == ("small", "7")
    assert model.sha256 == hashlib.sha256(small_checkpoint_file.read_bytes()).hexdigest()


def test_where_a_model_computes_is_logged(small_checkpoint_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="service.lifecycle"):
        load_model(Settings(checkpoint=small_checkpoint_file, inference_threads=1, device="cpu"))
    assert "the model runs on cpu (1 thread)" in [record.message for record in caplog.records]


def test_a_device_that_is_not_there(small_checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(OptionError, match=r"device is cuda:1, which is not there; this machine has cpu"):
        load_model(Settings(checkpoint=small_checkpoint_file, device="cuda:1"))


def test_a_model_answers_questions_by_a_network_of_its_encoder(
    small_checkpoint_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers = write_answers(tmp_path / "answers.safetensors", small_checkpoint_file)
    model = load_model(Settings(checkpoint=small_checkpoint_file, answers=answers))
    [[found]] = Asking("how many dogs?", 2).run(model.predictor, [Image.new("RGB", (64, 64))], [Asking("dogs", 2)])
    assert len(found.answers) == 2
    with caplog.at_level(logging.INFO):
        model = load_model(Settings(checkpoint=small_checkpoint_file))
    assert "questions are not answered" in caplog.text, "the shipped network goes with another encoder"
    with pytest.raises(OptionError, match="answers no questions"):
        Asking("dogs", 2).run(model.predictor, [Image.new("RGB", (64, 64))], [Asking("dogs", 2)])
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        load_model(Settings(checkpoint=small_checkpoint_file, answers=tmp_path / "none"))
