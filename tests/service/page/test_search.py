"""The search box, in a real Chromium."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from captioner.index.database import Entry, PhotoIndex
from service import Settings
from tests.support.browsing import LATIN, expect_no_violations
from tests.support.pictures import noise_image

OpenPage = Callable[..., Page]
pytestmark = pytest.mark.browser
KEY = "a-secret-key"
LOADED = "image => image.complete && image.naturalWidth === 320"


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Return settings with an index, and keys if a test asks for them by indirect parametrisation."""
    noise_image(1, 640, 480).save(tmp_path / "a.png")
    entries = [Entry("a.png", "s", "m", "a dog <b>runs</b>"), Entry("gone.png", "s", "m", "a dog sleeps")]
    PhotoIndex(tmp_path / "index", writable=True).put(tmp_path, entries)
    keys = tmp_path / "keys.txt"
    keys.write_text(f"{hashlib.sha256(KEY.encode()).hexdigest()} anna\n", encoding="utf-8")
    return Settings(port=0, photo_index=tmp_path / "index", api_keys=keys if getattr(request, "param", False) else None)


def look_for(page: Page, words: str) -> None:
    page.locator("#query").fill(words)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_photos_are_found_and_seen(open_page: OpenPage, locale: str) -> None:
    page = open_page(refused="404", locale=locale, viewport={"width": 320, "height": 700})
    look_for(page, "dogs")
    items = page.locator("#search li")
    expect(items).to_have_text(["a dog sleeps", "a dog <b>runs</b>"])
    expect(page.locator("#search [role=status]")).to_have_text(
        "2 photos found." if locale == "en-US" else "사진 2장을 찾았습니다."
    )
    expect(items.nth(0)).to_have_class("broken")
    handle = items.nth(1).locator("img").element_handle()
    page.wait_for_function(LOADED, arg=handle)
    expect_no_violations(page)
    assert locale == "en-US" or page.evaluate(LATIN) == ["gone", "png", "png"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    look_for(page, "zebra")
    expect(items).to_have_count(0)
    page.get_by_role("button", name="English").click()
    expect(page.locator("#search [role=status]")).to_have_text("No photos found.")


@pytest.mark.parametrize("settings", [True], indirect=True)
def test_the_key_is_asked_for_and_the_search_goes_on(open_page: OpenPage) -> None:
    page = open_page(refused="40")
    look_for(page, "runs")
    page.locator("#key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#search li")).to_have_text(["a dog <b>runs</b>"])
    page.wait_for_function(LOADED, arg=page.locator("#search li img").element_handle())
