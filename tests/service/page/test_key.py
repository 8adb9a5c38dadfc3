"""A service with keys, in a real Chromium: the page asks for one, sends it, keeps it for the tab, and forgets it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from service import Settings
from service.keys import HEADER
from tests.support.browsing import (
    LATIN,
    choose,
    choose_several,
    expect_caption,
    expect_no_violations,
    thumbnails,
    words,
)

MakePhoto = Callable[..., bytes]
OpenPage = Callable[..., Page]

pytestmark = pytest.mark.browser

KEY = "a-secret-key"
KEPT = "() => sessionStorage.getItem('captioner-key')"
NO_STORAGE = (
    "Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
)
NOT_ACCEPTED = "That key was not accepted. Check it and try again."


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Return settings with a file of keys, unless a test chooses others by indirect parametrisation."""
    path = tmp_path / "keys.txt"
    path.write_text(f"{hashlib.sha256(KEY.encode()).hexdigest()} anna\n", encoding="utf-8")
    chosen: Settings = getattr(request, "param", Settings(port=0, max_upload_bytes=2**20, api_keys=path))
    return chosen


def field(page: Page) -> Locator:
    return page.get_by_label("Key", exact=True)


def enter(page: Page, key: str) -> None:
    expect(field(page)).to_be_focused()
    page.keyboard.type(key)
    page.keyboard.press("Enter")


def watch(page: Page) -> list[Request]:
    """Return a list that fills with what the page asks of the service's interface."""
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if "/v1/" in request.url else None)
    return asked


def test_the_page_asks_until_the_key_is_right(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="401")
    asked = watch(page)
    expect(field(page)).to_be_hidden()
    choose(page, photo(5))
    expect(page.get_by_role("alert")).to_contain_text("This service needs a key")
    expect(thumbnails(page)).to_have_accessible_name("Photo 1, waiting for a key")
    expect(field(page)).to_have_attribute("type", "password")
    expect(field(page)).to_have_attribute("autocomplete", "off")
    expect(field(page)).to_have_accessible_description("")
    for _ in range(2):
        enter(page, "wrong")
        expect(field(page)).to_have_accessible_description(NOT_ACCEPTED)
        expect(field(page)).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_role("alert").filter(has_text=NOT_ACCEPTED)).to_be_visible()
    assert page.evaluate(KEPT) is None
    enter(page, KEY)
    expect_caption(page, 5)
    expect(page.locator("#caption")).to_be_focused()
    expect(field(page)).to_be_hidden()
    expect(page.get_by_role("alert")).to_be_hidden()
    assert [request.url.split("/v1/")[1] for request in asked] == ["captions", "model", "model", "model", "captions"]
    assert asked[-1].header_value(HEADER) == KEY


def test_the_button_sends_the_key_too(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="401")
    choose(page, photo(5))
    field(page).fill(f"  {KEY} ")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Use this key")).to_be_focused()
    page.keyboard.press("Space")
    expect_caption(page, 5)


def test_a_reload_keeps_the_key_and_another_tab_does_not_know_it(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="401")
    choose(page, photo(5))
    enter(page, KEY)
    expect_caption(page, 5)
    page.reload()
    expect(page.get_by_text("This tab remembers your key until you close it.")).to_be_visible()
    choose(page, photo(6))
    expect_caption(page, 6)
    with page.context.expect_page() as opened:
        page.evaluate("() => window.open('/', '_blank', 'noopener')")
    assert opened.value.evaluate(KEPT) is None


def test_a_key_is_forgotten(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="401")
    choose(page, photo(5))
    enter(page, KEY)
    expect_caption(page, 5)
    page.get_by_role("button", name="Forget the key").click()
    expect(page.locator("#key-note")).to_be_focused()
    expect(page.locator("#key-note span")).to_have_text("The key is forgotten.")
    expect(page.get_by_role("button", name="Forget the key")).to_be_hidden()
    assert page.evaluate("() => sessionStorage.length") == 0
    choose(page, photo(6))
    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_accessible_description("")
    expect(page.get_by_text("The key is forgotten.")).to_be_hidden()
    page.reload()
    choose(page, photo(6))
    expect(field(page)).to_be_visible()


def test_several_photos_wait_for_one_key(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="401")
    asked = watch(page)
    choose_several(page, {f"{red}.png": photo(red) for red in range(1, 6)})
    expect(page.locator("[data-state=locked]")).to_have_count(5)
    assert len(asked) <= 2  # the others are not sent for nothing
    thumbnails(page).nth(3).focus()
    page.keyboard.press("Enter")
    expect(thumbnails(page).nth(3)).to_be_focused()  # the form asks for the focus once
    expect(field(page)).to_be_visible()
    field(page).fill(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_text("5 of 5 captioned")).to_be_visible()
    expect_caption(page, 4)


def test_a_sentence_is_scored_with_the_key(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="401")
    choose(page, photo(5))
    enter(page, KEY)
    expect_caption(page, 5)
    page.get_by_role("button", name="Forget the key").click()
    page.get_by_label("Score your own sentence").fill("two dogs")
    page.keyboard.press("Enter")
    enter(page, KEY)
    expect(page.locator("#comparison")).to_contain_text("Your sentence")
    expect(words(page)).to_have_count(2)
    expect(page.locator("#notice")).to_be_hidden()


def test_a_key_that_the_service_no_longer_accepts(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="401")
    page.evaluate("() => sessionStorage.setItem('captioner-key', 'of-yesterday')")
    page.reload()
    choose(page, photo(5))
    expect(field(page)).to_have_accessible_description(NOT_ACCEPTED)
    expect(page.get_by_role("button", name="Forget the key")).to_be_hidden()
    assert page.evaluate(KEPT) is None
    enter(page, KEY)
    expect_caption(page, 5)


def test_a_key_that_comes_while_a_photo_is_on_its_way(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="401")
    page.evaluate(
        """() => {
            const send = window.fetch;
            window.fetch = async (...request) => {
                window.fetch = send;
                const answer = await send(...request);
                await new Promise((resolve) => { window.release = resolve; });
                return answer;
            };
        }"""
    )
    choose_several(page, {"1.png": photo(1), "2.png": photo(2)})
    expect(page.locator("[data-state=locked]")).to_have_count(1)
    page.locator("[data-state=locked]").click()
    field(page).fill(KEY)
    page.keyboard.press("Enter")
    expect_caption(page, 2)
    page.evaluate("() => window.release()")
    expect(page.get_by_text("2 of 2 captioned")).to_be_visible()
    expect(page.locator("#notice")).to_be_hidden()


def test_a_key_that_no_header_can_carry(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="401")
    choose(page, photo(5))
    field(page).fill("열쇠")
    page.keyboard.press("Enter")
    expect(field(page)).to_have_accessible_description(NOT_ACCEPTED)
    enter(page, KEY)
    expect_caption(page, 5)


def test_a_browser_that_keeps_nothing(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="401")
    page.add_init_script(NO_STORAGE)
    page.reload()
    choose(page, photo(5))
    enter(page, KEY)
    expect_caption(page, 5)
    choose(page, photo(6))
    expect_caption(page, 6)
    page.get_by_role("button", name="Forget the key").click()
    choose(page, photo(7))
    expect(field(page)).to_be_focused()


@pytest.mark.parametrize("settings", [Settings(port=0)], indirect=True)
def test_without_keys_nothing_of_it_is_seen(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    asked = watch(page)
    for _ in range(2):
        expect(page.locator("#key-form")).to_be_hidden()
        expect(page.locator("#key-note")).to_be_hidden()
        choose(page, photo(5))
        expect_caption(page, 5)
    assert [request.header_value(HEADER) for request in asked] == [None, None]
    assert page.evaluate("() => sessionStorage.length") == 0


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_the_form_is_for_everyone(open_page: OpenPage, photo: MakePhoto, scheme: str, locale: str, width: int) -> None:
    size = {"width": width, "height": 700}
    page = open_page(refused="401", color_scheme=scheme, locale=locale, viewport=size, reduced_motion="reduce")
    choose(page, photo(5))
    expect(page.locator("#key")).to_be_focused()
    expect(page.locator("#key")).to_be_in_viewport(ratio=1)
    expect_no_violations(page)
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#key-problem")).to_be_visible()
    expect_no_violations(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert locale == "en-US" or page.evaluate(LATIN) == []
    page.locator("#key").fill(KEY)
    page.keyboard.press("Enter")
    expect_caption_in(page, locale)
    expect_no_violations(page)
    assert locale == "en-US" or page.evaluate(LATIN) == []


def expect_caption_in(page: Page, locale: str) -> None:
    expect(words(page)).to_have_count(5)
    expect(page.locator("#forget-key")).to_have_text("Forget the key" if locale == "en-US" else "키 지우기")


def test_the_form_speaks_the_language_that_is_switched_to(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="401", locale="en-US")
    choose(page, photo(5))
    enter(page, "wrong")
    expect(page.locator("#key-problem")).to_have_text(NOT_ACCEPTED)
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_label("접근 키")).to_have_accessible_description(
        "맞지 않는 키입니다. 확인하고 다시 입력해 주세요."
    )
    assert page.evaluate(LATIN) == []
