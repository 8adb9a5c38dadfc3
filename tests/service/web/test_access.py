"""Keys, rate limits, proxies and CORS: off unless asked for, and then in force everywhere but where machines ask."""

import hashlib
import http.client
import io
import logging
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from captioner.errors import ConfigError
from service import Settings, create_app
from service.app import add_observability
from service.keys import ApiKeys, main
from service.observability.metrics import Metrics
from service.web.access import OPEN_PATHS, client_name, is_open
from tests.support.fakes import FakePredictor

MakePhoto = Callable[..., bytes]
Serve = Callable[[Flask], AbstractContextManager[str]]
URL = "/v1/captions"
KEY, OTHER = "a-secret-key", "another-key"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text(f"# who may call\n\n{digest(KEY)} anna  # until May\n{digest(OTHER)}\n", encoding="utf-8")
    return path


def guarded(**settings: Any) -> FlaskClient:
    return create_app(FakePredictor(), Settings(**settings)).test_client()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {OTHER}"},
        {"X-API-Key": OTHER, "Authorization": "Basic abc"},
    ],
)
def test_a_known_key_opens(keys: Path, photo: MakePhoto, headers: dict[str, str]) -> None:
    assert guarded(api_keys=keys).post(URL, data=photo(), headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "wrong"},
        {"X-API-Key": KEY + "x"},
        {"X-API-Key": digest(KEY)},
        {"X-API-Key": "\xff\xfe"},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
    ],
)
def test_any_other_does_not(keys: Path, photo: MakePhoto, headers: dict[str, str]) -> None:
    client = guarded(api_keys=keys)
    for path in (URL, "/v1/scores?text=a", "/v1/heatmaps", "/model/predict", "/hf", "/v2/models/fake/infer"):
        response = client.post(path, data=photo(), headers=headers)
        assert response.status_code == 401, path
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert response.headers["X-Request-Id"]
    assert client.get("/v1/model", headers=headers).status_code == 401
    assert "API key" in client.post(URL, headers=headers).get_json()["detail"]


def test_machines_and_the_page_need_no_key(keys: Path) -> None:
    client = guarded(api_keys=keys)
    for path in (*OPEN_PATHS, "/static/page.js"):
        with client.get(path) as response:
            assert response.status_code in (200, 404), path  # /metrics may be served elsewhere
    assert not any(is_open(path) for path in (URL, "/v1/model", "/v2", "/nowhere", "/livez/", "/static"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        ("secret anna\n", "keys.txt:1"),
        (f"{digest(KEY)} anna b\n", "keys.txt:1"),
        (f"{digest(KEY)} anna\n{digest(KEY).upper()} b\n", "keys.txt:2"),
        (f"{digest(KEY)} <b>\n", "keys.txt:1"),
    ],
)
def test_a_file_of_keys_that_does_not_fit(keys: Path, text: str, words: str) -> None:
    keys.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as caught:
        guarded(api_keys=keys)
    assert "secret" not in str(caught.value)  # it might be a key in plain words


def test_a_file_of_keys_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        guarded(api_keys=tmp_path / "none.txt")


def test_a_new_key_is_printed_apart_from_its_line(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phone"]) == 0
    out, err = capsys.readouterr()
    key = err.split()[-1]
    assert key not in out
    keys.write_text(out, encoding="utf-8")
    ring = ApiKeys.from_file(keys)
    assert (ring.owner(key), ring.owner(key + "x")) == ("phone", None)
    with pytest.raises(SystemExit):
        main(["two words"])


def test_the_command_that_makes_keys() -> None:
    done = subprocess.run([sys.executable, "-m", "service.keys", "a"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "a"
    assert done.stderr.splitlines()[0].startswith("The key")  # and no warning before it


def test_too_many_requests_are_told_when_to_come_again(photo: MakePhoto) -> None:
    client = guarded(rate_limit="2/hour")
    answers = [client.post(URL, data=photo()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert ["Retry-After" in answer.headers for answer in answers] == [False, False, True]
    assert 0 < int(answers[2].headers["Retry-After"]) <= 3601
    problem = answers[2].get_json()
    assert (answers[2].mimetype, problem["status"]) == ("application/problem+json", 429)
    assert client.get("/v1/model").status_code == 429  # all addresses are counted together
    assert client.post("/hf", data=photo()).get_json() == {"error": problem["detail"]}


def test_health_is_not_limited() -> None:
    client = guarded(rate_limit="1/hour")
    for path in ("/livez", "/readyz", "/v2/health/live", "/"):
        assert [client.get(path).status_code for _ in range(3)] == [200] * 3


def test_each_key_has_its_own_limit(keys: Path, photo: MakePhoto) -> None:
    client = guarded(rate_limit="1/hour", api_keys=keys)
    asked = [KEY, OTHER, KEY, OTHER]
    statuses = [client.post(URL, data=photo(), headers={"X-API-Key": key}).status_code for key in asked]
    assert statuses == [200, 200, 429, 429]


@pytest.mark.parametrize(
    ("hops", "forwarded", "expected"),
    [
        (0, "1.1.1.1", "127.0.0.1"),
        (1, "1.1.1.1", "1.1.1.1"),
        (1, "6.6.6.6, 1.1.1.1", "1.1.1.1"),  # what the client itself claims stands first
        (2, "6.6.6.6, 1.1.1.1, 2.2.2.2", "1.1.1.1"),
    ],
)
def test_clients_behind_trusted_proxies_are_told_apart(hops: int, forwarded: str, expected: str) -> None:
    settings = Settings(port=0, trusted_proxies=hops)
    app = create_app(FakePredictor(), settings)
    seen: list[str] = []
    app.before_request(lambda: seen.append(client_name()))
    app.test_client().get("/livez", headers={"X-Forwarded-For": forwarded})
    assert seen == [f"address {expected}"]


@pytest.mark.parametrize(
    ("settings", "statuses"),
    [
        (Settings(port=0, rate_limit="1/hour"), [200, 429]),
        (Settings(port=0, rate_limit="1/hour", trusted_proxies=1), [200, 200]),
    ],
)
def test_the_real_server_passes_on_what_a_trusted_proxy_says(app: Flask, serve: Serve, statuses: list[int]) -> None:
    with serve(app) as url:
        assert [ask_from(url, address) for address in ("1.1.1.1", "2.2.2.2")] == statuses


def ask_from(url: str, address: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request("GET", "/v1/model", headers={"X-Forwarded-For": address})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate_limit": "many"}, "rate_limit is 'many'"),
        ({"rate_limit": "1/hour", "rate_limit_storage": "shelf://"}, "rate_limit_storage is 'shelf://'"),
        ({"url_schemes": "ftp"}, "url_schemes is 'ftp'"),
        ({"url_schemes": ""}, "url_schemes"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        guarded(**settings)


SITE = "https://photos.example"


def test_listed_pages_may_call(photo: MakePhoto) -> None:
    client = guarded(cors_origins=f"{SITE}, https://other.example")
    response = client.post(URL, data=photo(), headers={"Origin": SITE})
    assert response.headers["Access-Control-Allow-Origin"] == SITE
    assert "X-Request-Id" in response.headers["Access-Control-Expose-Headers"]
    assert "Origin" in response.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", f"{SITE}.evil.example", "null", SITE.upper(), "http://photos.example"]
)
def test_other_pages_may_not(photo: MakePhoto, origin: str) -> None:
    for client in (guarded(cors_origins=SITE), guarded()):
        response = client.post(URL, data=photo(), headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in response.headers


def test_a_preflight_needs_no_key_and_is_not_counted(keys: Path) -> None:
    client = guarded(cors_origins=SITE, api_keys=keys, rate_limit="1/hour")
    asked = {"Origin": SITE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    for _ in range(3):
        response = client.options(URL, headers=asked)
        assert response.status_code == 200
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert "X-API-Key" in response.headers["Access-Control-Allow-Headers"]


def test_errors_may_be_read_by_listed_pages(keys: Path) -> None:
    client = guarded(cors_origins="*", api_keys=keys)
    response = client.post(URL, data={"image": (io.BytesIO(b"x"), "a")}, headers={"Origin": SITE})
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (401, SITE)


ADDRESS = "203.0.113.77"


def test_addresses_are_never_logged(photo: MakePhoto, keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By no logger, however much it may say."""
    caplog.set_level(logging.DEBUG)
    settings = Settings(rate_limit="1/hour", trusted_proxies=1, api_keys=keys, log_level="debug")
    for chosen in (settings, replace(settings, api_keys=None)):
        app = create_app(FakePredictor(), chosen)
        add_observability(app, Metrics(), chosen)
        client = app.test_client()
        headers = {"X-Forwarded-For": ADDRESS, "X-API-Key": KEY}
        asked = [client.post(path, data=photo(), headers=headers) for path in (URL, URL, "/hf", "/v2/models/a/infer")]
        assert [answer.status_code for answer in asked] == [200, 429, 429, 429]
        client.post(URL, data=b"x", headers={"X-Forwarded-For": ADDRESS})
    told = "".join(f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records)
    assert "POST /v1/captions 429" in told
    assert ADDRESS not in told
    assert "127.0.0.1" not in told


def test_too_many_requests_are_told_what_to_do(photo: MakePhoto) -> None:
    client = guarded(rate_limit="1/minute")
    client.post(URL, data=photo())
    problem = client.post(URL, data=photo()).get_json()
    assert problem["type"] == "urn:captioner:problem:rate-limited"
    assert problem["title"] == "Rate limited"
    for words in ("more than the 1 per 1 minute", "Retry-After", "more slowly"):
        assert words in problem["detail"]
    assert client.post("/model/predict", data=photo()).get_json()["message"] == problem["detail"]


@pytest.mark.parametrize("metrics_key", [False, True])
def test_metrics_ask_for_a_key_if_wanted(keys: Path, metrics_key: bool) -> None:
    settings = Settings(api_keys=keys, metrics_key=metrics_key, rate_limit="1/hour")
    app = create_app(FakePredictor(), settings)
    add_observability(app, Metrics(), settings)
    client = app.test_client()
    assert client.get("/metrics").status_code == (401 if metrics_key else 200)
    for _ in range(3):
        assert client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert client.get("/livez").status_code == 200


def test_metrics_cannot_ask_for_a_key_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match="api_keys"):
        Settings(metrics_key=True)


def test_listed_pages_may_send_their_trace() -> None:
    asked = {"Origin": SITE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "traceparent"}
    allowed = guarded(cors_origins=SITE).options(URL, headers=asked).headers["Access-Control-Allow-Headers"]
    assert {"traceparent", "tracestate"} <= set(allowed.split(", "))


def test_browsers_that_look_for_an_icon_find_it(keys: Path) -> None:
    answer = guarded(api_keys=keys).get("/favicon.ico")
    assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
    answer.close()
