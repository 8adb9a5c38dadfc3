"""Two real services behind the real nginx of deploy/: one dies, both get a new model, and no client notices."""

import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import pytest

from captioner.checkpoint import Checkpoint, save_checkpoint
from tests.support.pictures import noise_image

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CLIENTS = 6
PATIENCE = 400  # seconds: minutes where other programs use the machine too
DONE = 0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


class Replica:
    """A service of its own process, which can be started again at the same port."""

    def __init__(self, checkpoint: Path) -> None:
        self.port = free_port()
        self._command = [sys.executable, "-m", "service", "--port", str(self.port), "--inference-threads", "1"]
        self._command += ["--checkpoint", str(checkpoint), "--reload-seconds", "0", "--log-level", "error"]
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(self._command, env=environment, stdout=subprocess.DEVNULL)

    def is_ready(self) -> bool:
        try:
            return ask(self.port, "GET", "/readyz")[0] == 200
        except OSError:
            return False


def ask(port: int, method: str, path: str, data: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, data)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.fixture
def checkpoint(small_checkpoint_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_checkpoint_file, tmp_path / "model.safetensors"))


@pytest.fixture
def replicas(checkpoint: Path) -> Iterator[list[Replica]]:
    made = [Replica(checkpoint), Replica(checkpoint)]
    yield made
    for replica in made:
        replica.process.kill()
        replica.process.wait()


@pytest.fixture
def proxy(replicas: list[Replica], tmp_path: Path) -> Iterator[int]:
    """The configuration that is deployed, but for addresses and folders; its port."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    text = (ROOT / "deploy/nginx/nginx.conf").read_text(encoding="utf-8")
    servers = "".join(f"server 127.0.0.1:{replica.port} max_fails=0;" for replica in replicas)
    text = re.sub(r"server captioner:8000 max_fails=0;", servers, text)
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("/tmp/", f"{tmp_path}/")  # noqa: S108
    text = text.replace("/dev/stdout", f"{tmp_path}/access.log")
    (tmp_path / "nginx.conf").write_text(text, encoding="utf-8")
    command = ["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"]
    with (tmp_path / "error.log").open("w") as errors:
        process = subprocess.Popen(command, stderr=errors)
    wait_for(lambda: all(replica.is_ready() for replica in replicas))
    yield port
    process.send_signal(signal.SIGQUIT)
    process.wait(PATIENCE)


@dataclass
class Tally:
    """What clients saw: how often each status with each version of the model."""

    seen: Counter[tuple[int, str]] = field(default_factory=Counter)

    def wait_for_more(self, count: int = 5 * CLIENTS) -> None:
        now = self.seen.total()
        wait_for(lambda: self.seen.total() >= now + count)


@contextmanager
def load(port: int) -> Iterator[Tally]:
    """Let clients ask again and again meanwhile."""
    tally, enough, file = Tally(), Event(), io.BytesIO()
    noise_image(1, 200, 150).save(file, "JPEG")

    def client() -> None:
        while not enough.is_set():
            status, body = ask(port, "POST", "/v1/captions", file.getvalue())
            tally.seen[status, json.loads(body).get("model", {}).get("version", "")] += 1

    with ThreadPoolExecutor(CLIENTS) as clients:
        running = [clients.submit(client) for _ in range(CLIENTS)]
        try:
            yield tally
        finally:
            enough.set()
        for future in running:
            future.result(PATIENCE)


def test_a_replica_is_killed_and_comes_back_and_no_client_notices(replicas: list[Replica], proxy: int) -> None:
    with load(proxy) as tally:
        tally.wait_for_more()
        replicas[0].process.kill()
        replicas[0].process.wait()
        tally.wait_for_more()
        replicas[0].start()
        wait_for(replicas[0].is_ready)
        tally.wait_for_more()
    assert set(tally.seen) == {(200, "7")}


def put_in_place(checkpoint: Checkpoint, path: Path, version: str) -> None:
    beside = path.with_suffix(".new")
    save_checkpoint(replace(checkpoint, provenance={"name": "small", "version": version}), beside)
    beside.replace(path)


def test_a_new_model_rolls_through_the_replicas_and_no_client_notices(
    replicas: list[Replica], proxy: int, checkpoint: Path, small_checkpoint: Checkpoint
) -> None:
    """By new processes, as Kubernetes does it, and by a signal to the same ones."""
    with load(proxy) as tally:
        tally.wait_for_more()
        put_in_place(small_checkpoint, checkpoint, "8")
        for replica in replicas:
            replica.process.send_signal(signal.SIGTERM)
            assert replica.process.wait(PATIENCE) == DONE
            replica.start()
            wait_for(replica.is_ready)
        tally.wait_for_more()
        put_in_place(small_checkpoint, checkpoint, "9")
        for replica in replicas:
            replica.process.send_signal(signal.SIGHUP)
        wait_for(lambda: tally.seen[200, "9"] > 0)
        tally.wait_for_more()
    assert set(tally.seen) == {(200, "7"), (200, "8"), (200, "9")}
