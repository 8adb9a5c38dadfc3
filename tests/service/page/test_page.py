"""The page in a real Chromium: every way in, every way to look at a word, and nothing from elsewhere."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.browsing import HOTTEST_CELL, active, choose, expect_caption, expect_heat, give, texts, words
from tests.support.fakes import CELLS

MakePhoto = Callable[..., bytes]
OpenPage = Callable[..., Page]

pytestmark = pytest.mark.browser

WATCH_WORDS = """() => {
    window.seen = [];
    const watch = ([change]) => {
        const active = [...change.target.parentNode.children].findIndex(word => word.matches(".active"));
        if (active !== -1 && active !== window.seen.at(-1)) window.seen.push(active);
    };
    const options = { subtree: true, attributeFilter: ["class"] };
    new MutationObserver(watch).observe(document.querySelector("#caption"), options);
}"""


def test_a_chosen_photo(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo(11))
    expect_caption(page, 11)
    choose(page, photo(12))
    expect_caption(page, 12)


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_dropped_or_pasted_photo(open_page: OpenPage, photo: MakePhoto, kind: str) -> None:
    page = open_page()
    give(page, kind, "photo.png", photo(21))
    expect_caption(page, 21)


def test_dragging_is_shown(open_page: OpenPage) -> None:
    page = open_page()
    curtain = page.locator(".drop-curtain")
    expect(curtain).to_be_hidden()
    give(page, "dragover", "photo.png", b"x")
    expect(curtain).to_be_visible()
    give(page, "dragleave", "photo.png", b"x")
    expect(curtain).to_be_hidden()


def test_a_sample(open_page: OpenPage) -> None:
    page = open_page()
    samples = page.locator(".samples button")
    for index in range(samples.count()):
        samples.nth(index).click()
        expect(words(page)).to_have_count(5)
        loaded = page.locator(".samples img").nth(index).evaluate("image => image.complete && image.naturalWidth")
        assert loaded > 300


def test_pointing_at_a_word_shows_where_the_model_looked(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo())
    expect_heat(page, None)
    for index, cell in enumerate(CELLS):
        words(page).nth(index).hover()
        expect_heat(page, cell)
        expect(active(page)).to_have_count(1)
    expect(page.locator("#detail")).to_have_text("200 29% sure · looked mostly at the lower right, peak\u00a060%")
    page.mouse.move(0, 0)
    expect_heat(page, None)
    expect(page.locator("#detail")).to_contain_text("Point at a word")


@pytest.mark.parametrize("size", [(64, 48), (48, 160), (400, 80)])
def test_the_heatmap_covers_the_photo_exactly(open_page: OpenPage, photo: MakePhoto, size: tuple[int, int]) -> None:
    page = open_page()
    choose(page, photo(size=size))
    expect(words(page)).to_have_count(5)
    box = page.locator("#picture").bounding_box()
    assert box == page.locator("#heatmap").bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(size[0] / size[1], rel=0.02)


def test_the_photo_is_shown_upright(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo(image_format="JPEG", orientation=6, size=(64, 48)))
    expect(words(page)).to_have_count(5)
    box = page.locator("#picture").bounding_box()
    assert box is not None
    assert box["width"] < box["height"]


def test_keys_walk_the_words(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo())
    expect(words(page)).to_have_count(5)
    steps = {"ArrowRight": 0, "End": 4, "ArrowLeft": 3, "Home": 0}
    for key, index in steps.items():
        page.keyboard.press(key)
        expect(words(page).nth(index)).to_be_focused()
        expect_heat(page, CELLS[index])
    page.keyboard.press("ArrowLeft")
    expect(words(page).nth(0)).to_be_focused()
    page.keyboard.press("Escape")
    expect(active(page)).to_have_count(0)
    expect_heat(page, None)


def test_a_caption_is_one_tab_stop(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo())
    expect(words(page)).to_have_count(5)
    words(page).nth(2).focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Copy caption")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(words(page).nth(2)).to_be_focused()


def test_a_tap_shows_a_word(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(has_touch=True, viewport={"width": 390, "height": 844})
    choose(page, photo())
    words(page).nth(3).tap()
    expect_heat(page, CELLS[3])
    page.locator("#photo").tap()
    expect_heat(page, None)


def test_playing_shows_each_word_in_turn(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo())
    expect(words(page)).to_have_count(5)
    page.evaluate(WATCH_WORDS)
    play = page.locator("#play")
    play.click()
    expect(play).to_have_text("Stop")
    expect(play).to_have_text("Play", timeout=20_000)
    assert page.evaluate("window.seen") == [0, 1, 2, 3, 4]
    expect(active(page)).to_have_count(0)
    expect_heat(page, None)


def test_space_on_a_word_plays_and_stops(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo())
    words(page).nth(2).focus()
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_have_text("Stop")
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_have_text("Play")


@pytest.mark.parametrize("key", ["Space", "Escape", "ArrowRight"])
def test_playing_stops(open_page: OpenPage, photo: MakePhoto, key: str) -> None:
    page = open_page()
    choose(page, photo())
    expect(words(page)).to_have_count(5)
    play = page.locator("#play")
    play.focus()
    page.keyboard.press("Space")
    expect(play).to_have_text("Stop")
    expect(active(page)).to_have_count(1)
    page.keyboard.press(key)
    expect(play).to_have_text("Play")
    expect(active(page)).to_have_count(0 if key == "Escape" else 1)


def test_words_say_what_they_mean(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo())
    name = "photo 61% sure, looked mostly at the upper right, peak 60%"
    expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "false")
    words(page).nth(1).focus()
    expect(page.get_by_role("button", name=name, pressed=True)).to_be_focused()


def test_names_and_captions_are_never_markup(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    page.route(
        "**/v1/captions",
        lambda route: route.fulfill(
            json={
                "model": {"name": "<img src=x>", "version": "<b>1</b>"},
                "captions": [
                    {
                        "text": "<b>bold</b>",
                        "log_prob": 0,
                        "words": [{"text": "<b>bold</b>", "log_prob": 0, "attention": None}],
                    }
                ],
                "attention_grid": None,
                "timing_ms": {"total": 1},
            }
        ),
    )
    name = "<img src=x onerror=alert(1)>.png"
    choose(page, photo(), name)
    expect(texts(page)).to_have_text(["<b>bold</b>"])
    words(page).first.hover()
    expect(page.locator("#detail")).to_have_text("<b>bold</b> 100% sure")
    expect(page.locator("#timing")).to_have_text("captioned in 1 ms · <img src=x> <b>1</b>")
    expect(page.locator("#play")).to_be_hidden()
    expect(page.locator("#strip li button")).to_have_attribute("title", name)
    assert page.locator("main b b, img[src=x]").count() == 0


def test_a_caption_without_words_is_said(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    answer = {
        "model": {"name": "mute", "version": "1"},
        "captions": [{"text": "", "log_prob": 0, "words": []}],
        "attention_grid": [7, 7],
        "timing_ms": {"total": 1},
    }
    page.route("**/v1/captions", lambda route: route.fulfill(json=answer))
    choose(page, photo())
    expect(page.get_by_text("The model found no words for this photo.")).to_be_visible()
    expect(page.locator("#controls")).to_be_hidden()


@pytest.mark.parametrize("width", [320, 360, 390, 768, 1280])
def test_nothing_scrolls_sideways(open_page: OpenPage, photo: MakePhoto, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 700})
    for red in (None, 1):
        if red is not None:
            choose(page, photo(red, size=(1000, 100)))
            expect_caption(page, red)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_stillness_is_respected(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(reduced_motion="reduce")
    choose(page, photo())
    expect(words(page)).to_have_count(5)
    page.evaluate("() => { window.requestAnimationFrame = () => { window.moved = true; }; }")
    words(page).nth(4).focus()
    assert page.locator("#heatmap").evaluate(HOTTEST_CELL) == [6, 6]
    assert not page.evaluate("window.moved")
