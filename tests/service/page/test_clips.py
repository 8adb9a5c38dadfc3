"""Clips on the page, in a real Chromium: they play with their captions, and the heatmap moves with the frames."""

import re
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.support.browsing import HOTTEST_CELL, LATIN, expect_no_violations
from tests.support.clips import animation, video
from tests.support.fakes import CELLS

OpenPage = Callable[..., Page]

pytestmark = pytest.mark.browser
SIZE = (64, 48)
RED, BLUE = Image.new("RGB", SIZE, (200, 20, 20)), Image.new("RGB", SIZE, (7, 40, 250))
SLOW = [Image.new("RGB", SIZE, (red, 90, 90)) for red in range(100, 120)]


def choose_clip(page: Page, data: bytes, kind: str = "image/webp") -> None:
    page.set_input_files("#clip-file", {"name": "clip", "mimeType": kind, "buffer": data})


def wait_for_heat(page: Page, cell: tuple[int, int]) -> None:
    hottest = f"({HOTTEST_CELL})(document.querySelector('#clip-heatmap'))"
    page.wait_for_function(f"cell => JSON.stringify({hottest}) === JSON.stringify(cell)", arg=cell, polling=30)


def shots(page: Page) -> list[str]:
    return page.locator("#clip-shots .clip-text").all_text_contents()


def test_a_clip_plays_with_the_caption_of_each_shot(open_page: OpenPage) -> None:
    page = open_page()
    choose_clip(page, animation([RED, BLUE], [1500, 1500]))
    expect(page.locator("#clip-caption")).to_have_text("a clip of 200")
    assert shots(page) == ["a clip of 200", "a clip of 7"]
    expect(page.locator("#clip-shots li").nth(1)).to_contain_text("1.5 to 3.0 s")
    expect(page.locator("#clip-caption")).to_have_text("a clip of 7")
    expect(page.locator("#clip-shots li").nth(1)).to_have_attribute("aria-current", "true")
    expect(page.get_by_role("button", name="Play the clip")).to_be_visible()  # it is over
    expect(page.locator("#clip-still")).to_be_visible()
    page.get_by_role("button", name="Play the clip").click()
    expect(page.locator("#clip-caption")).to_have_text("a clip of 200")
    page.locator("#clip-panel").get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Play the clip")).to_be_visible()


def test_the_heatmap_moves_with_the_frames(open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    choose_clip(page, animation(SLOW, [200] * 20))
    for cell in CELLS[:4]:
        wait_for_heat(page, cell)


def test_a_video_plays_too(open_page: OpenPage) -> None:
    page = open_page()
    choose_clip(page, video([RED] * 15 + [BLUE] * 15, "webm", "libvpx"), "video/webm")
    expect(page.locator("#clip-video")).to_be_visible()
    expect(page.locator("#clip-caption")).to_have_text(re.compile(r"a clip of \d{3}( |$)"))
    expect(page.locator("#clip-shots li").nth(1)).to_have_attribute("aria-current", "true")
    expect(page.get_by_role("button", name="Play the clip")).to_be_visible()


def test_what_is_wrong_is_told(open_page: OpenPage) -> None:
    page = open_page(refused="415")
    choose_clip(page, b"Dear diary")
    expect(page.get_by_role("alert").filter(has_text="no moving picture")).to_be_visible()
    expect(page.locator("#clip-screen")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_axe_finds_nothing(open_page: OpenPage, scheme: str, locale: str) -> None:
    page = open_page(color_scheme=scheme, locale=locale, reduced_motion="reduce")
    choose_clip(page, animation([RED, BLUE], [700, 700]))
    expect(page.locator("#clip-still")).to_be_visible()
    expect_no_violations(page)
    if locale == "ko-KR":
        assert page.evaluate(LATIN) == []
