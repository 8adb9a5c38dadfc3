"""The page in English and Korean, and for everyone: no English is left in Korean, and axe finds nothing."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from service.inference.predictor import Predictor
from tests.support.browsing import (
    LATIN,
    choose,
    choose_several,
    expect_caption,
    expect_no_violations,
    thumbnails,
    words,
)
from tests.support.fakes import STRANGE, SurePredictor

MakePhoto = Callable[..., bytes]
OpenPage = Callable[..., Page]

pytestmark = pytest.mark.browser


def show_everything(page: Page, photo: MakePhoto) -> None:
    choose_several(page, {"a.png": photo(1), "b.txt": b"Dear diary"})
    expect(page.locator("[data-state=done]")).to_have_count(1)
    expect(page.locator("[data-state=failed]")).to_have_count(1)
    page.locator("#options summary").click()
    page.locator("#sentence").fill(f"two {STRANGE}")
    page.keyboard.press("Enter")
    expect(page.locator("#comparison")).to_be_visible()
    words(page).nth(1).focus()


def ask(page: Page) -> None:
    page.locator("#question").fill(f"what {STRANGE} is it?")
    page.keyboard.press("Enter")
    expect(page.locator("#comparison")).to_contain_text(f"what {STRANGE} is it?")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_axe_finds_nothing(open_page: OpenPage, photo: MakePhoto, scheme: str, locale: str) -> None:
    page = open_page(refused="415", color_scheme=scheme, locale=locale, reduced_motion="reduce")
    expect_no_violations(page)
    show_everything(page, photo)
    expect_no_violations(page)
    ask(page)
    expect_no_violations(page)
    page.locator("#back").click()
    page.locator("#strip li button").nth(1).click()
    expect(page.locator("#notice")).to_be_visible()
    expect_no_violations(page)
    page.locator("#use-camera").click()
    expect(page.locator("#camera video")).to_be_visible()
    expect_no_violations(page)


def test_axe_finds_nothing_on_a_phone(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="415", viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    show_everything(page, photo)
    expect_no_violations(page)


@pytest.mark.parametrize("predictor", [SurePredictor(0.4, True)], indirect=True)
def test_no_english_is_left_in_korean(open_page: OpenPage, photo: MakePhoto, predictor: Predictor) -> None:
    page = open_page(refused="415", locale="ko-KR")
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    assert page.evaluate(LATIN) == []
    show_everything(page, photo)
    assert page.evaluate(LATIN) == []
    ask(page)
    assert page.evaluate(LATIN) == []
    page.locator("#back").click()
    expect(page.locator("#verdict")).to_have_text("좋은 설명일 확률 40%: 직접 확인해 보세요")
    page.locator("[name=search][value=varied]").check()
    assert page.evaluate(LATIN) == []
    page.locator("#strip li button").nth(1).click()
    expect(page.get_by_role("alert")).to_contain_text("읽을 수 있는 사진이 아닙니다")
    assert page.evaluate(LATIN) == []


def test_the_language_is_switched_in_place_and_remembered(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo(7))
    expect_caption(page, 7)
    page.get_by_label("a photo-2 of red 7").check()
    page.get_by_role("button", name="한국어").click()
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    expect(page.get_by_role("button", name="한국어", pressed=True)).to_be_focused()
    expect(page.locator("#play")).to_have_text("재생")
    expect(page.get_by_label("a photo-2 of red 7")).to_be_checked()
    words(page).nth(1).focus()
    expect(page.locator("#detail")).to_have_text("photo-2 확신도 61% · 주로 오른쪽 위 부분을 봄, 최고\u00a060%")
    assert page.evaluate(LATIN) == []
    assert page.evaluate("() => document.querySelector('#picture').lang") == "en"
    page.reload()
    expect(page.get_by_text("이 사진에는 무엇이 있을까요?")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="What is in your photo?")).to_be_visible()
    choose(page, photo(8))
    expect_caption(page, 8)
    expect(thumbnails(page)).to_have_accessible_name("Photo 1, captioned: a photo of red 8")


def test_the_keyboard_reaches_everything_in_order(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(locale="en-US")
    choose(page, photo(7))
    expect_caption(page, 7)
    page.evaluate("() => document.activeElement.blur()")
    page.locator(".skip").focus()
    reached = []
    for _ in range(22):
        reached.append(page.evaluate("() => document.activeElement.id || document.activeElement.textContent.trim()"))
        page.keyboard.press("Tab")
    assert reached[:4] == ["Skip to the photo", "English", "한국어", "Photo 1, captioned: a photo of red 7"]
    wanted = ["clear", "copy", "save-picture", "save-json", "play", "sentence", "Options", "file", "use-camera"]
    assert [name for name in reached if name in wanted] == wanted


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_follow_the_visitor_s(open_page: OpenPage, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    colour = page.evaluate("() => getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert (sum(colour) > 3 * 128) == (scheme == "light")


def test_forced_colours_keep_what_colours_tell(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(forced_colors="active")
    choose(page, photo(7))
    expect_caption(page, 7)
    words(page).nth(1).hover()
    outline = "word => getComputedStyle(word).outlineStyle"
    assert words(page).nth(1).evaluate(outline) == "solid"
    assert words(page).nth(2).evaluate(outline) == "none"
    line = (
        "word => getComputedStyle(word, '::after').backgroundColor !== getComputedStyle(document.body).backgroundColor"
    )
    assert words(page).nth(1).evaluate(line)
