"""The service below a path: whatever a proxy does with it, every address is one that browsers can ask for."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from captioner.errors import ConfigError
from service import Settings, create_app
from service.server import HEALTH_PATHS
from tests.support.browsing import choose, expect_caption, words
from tests.support.fakes import FakePredictor

MakePhoto = Callable[..., bytes]
OpenPage = Callable[..., Page]
PREFIX = "/tools/cap"
LEAVES, CUTS, CUTS_AND_SAYS = "leaves the path", "cuts the prefix off", "cuts it off and says so"
SETTINGS = {
    LEAVES: Settings(port=0, prefix=PREFIX),
    CUTS: Settings(port=0, prefix=PREFIX),
    CUTS_AND_SAYS: Settings(port=0, trusted_proxies=1),
}


def behind_proxy(kind: str) -> Flask:
    """Return the application behind a proxy that has something else at every other path."""
    app = create_app(FakePredictor(), SETTINGS[kind])
    inner = app.wsgi_app

    def proxy(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path != PREFIX and not path.startswith(f"{PREFIX}/"):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"another service"]
        if kind != LEAVES:
            environ["PATH_INFO"] = path[len(PREFIX) :]
        if kind == CUTS_AND_SAYS:
            environ["HTTP_X_FORWARDED_PREFIX"] = PREFIX
        return inner(environ, start_response)

    app.wsgi_app = proxy  # type: ignore[method-assign]
    return app


@pytest.fixture(params=SETTINGS)
def app(request: pytest.FixtureRequest) -> Flask:
    return behind_proxy(request.param)


@pytest.mark.browser
def test_the_page_works_below_a_path(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(PREFIX)  # from which it is sent to where the slash is
    assert page.url.endswith(f"{PREFIX}/")
    choose(page, photo(11))
    expect_caption(page, 11)
    page.locator(".samples button").first.click()
    expect(words(page)).to_have_count(5)
    page.get_by_role("button", name="한국어").click()
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    expect(page.locator(".masthead img")).to_have_js_property("complete", True)


@pytest.mark.browser
def test_the_reference_works_below_a_path(open_page: OpenPage) -> None:
    page = open_page(f"{PREFIX}/docs")
    example = page.locator("#caption pre")
    expect(example).to_contain_text(f"{PREFIX}/v1/captions")
    page.get_by_role("link", name="To the page").click()
    expect(page.locator("#languages")).to_be_visible()
    assert page.url.endswith(f"{PREFIX}/")


def test_no_address_begins_at_the_root(app: Flask) -> None:
    client = app.test_client()
    static = str(app.static_folder)
    for path in ("/", "/docs"):
        text = client.get(PREFIX + path).get_data(as_text=True)
        assert re.findall(r'(?:href|src|action|data-sample)="(?:/|https?:)[^"]*"', text) == []
    for file in [*Path(static).glob("*.js"), *Path(static).glob("*.css")]:
        text = file.read_text(encoding="utf-8")
        assert re.findall(r"""(?:["'`]|url\()/(?:static|v1|docs|openapi)[^"'`)]*""", text) == [], file.name


def test_documents_and_problems_name_the_path(app: Flask) -> None:
    client = app.test_client()
    assert client.get(f"{PREFIX}/openapi.json").get_json()["servers"] == [{"url": PREFIX}]
    problem = client.post(f"{PREFIX}/v1/captions", data=b"x").get_json()
    assert problem["instance"] == f"{PREFIX}/v1/captions"
    assert f"POST {PREFIX}/v1/captions" in client.get(f"{PREFIX}/nowhere").get_json()["detail"]
    moved = client.post(f"{PREFIX}?a=b")
    assert (moved.status_code, moved.headers["Location"]) == (308, f"{PREFIX}/?a=b")


def test_at_the_root_all_is_as_before() -> None:
    client = create_app(FakePredictor()).test_client()
    headers = {"X-Forwarded-Prefix": "/evil"}  # which nobody may say unless trusted
    assert client.get("/openapi.json", headers=headers).get_json()["servers"] == [{"url": "/"}]
    assert client.post("/v1/captions", headers=headers).get_json()["instance"] == "/v1/captions"


@pytest.mark.parametrize("said", ["//evil.example", "/a b", "/<script>", "https://evil.example", "/..%2f"])
def test_what_is_no_path_is_not_taken_even_from_a_proxy(said: str) -> None:
    client = create_app(FakePredictor(), Settings(trusted_proxies=1)).test_client()
    answer = client.get("/openapi.json", headers={"X-Forwarded-Prefix": said})
    assert answer.get_json()["servers"] == [{"url": "/"}]


def test_health_is_asked_for_with_and_without_the_prefix() -> None:
    client = create_app(FakePredictor(), Settings(prefix=PREFIX)).test_client()
    for path in HEALTH_PATHS:
        assert client.get(path).status_code == client.get(PREFIX + path).status_code == 200
    assert "model" in client.get(f"{PREFIX}/readyz").get_json()


@pytest.mark.parametrize("prefix", ["cap", "/cap/", "//cap", "/", "/a b", "/cap?x"])
def test_prefixes_that_are_none(prefix: str) -> None:
    with pytest.raises(ConfigError, match="prefix is") as caught:
        Settings(prefix=prefix)
    assert "/captions" in str(caught.value)


def test_the_document_is_json_all_the_same(app: Flask) -> None:
    answer = app.test_client().get(f"{PREFIX}/openapi.json")
    assert json.loads(answer.data)["openapi"].startswith("3.1")
    etag = answer.headers["ETag"]
    assert app.test_client().get(f"{PREFIX}/openapi.json", headers={"If-None-Match": etag}).status_code == 304
