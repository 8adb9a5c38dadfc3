"""Fixing a caption on the page, in a real Chromium."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from service import Settings
from service.corrections import LIST
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def settings(folder: Path) -> Settings:
    return Settings(port=0, max_upload_bytes=2**20, corrections=folder, corrections_entries=1)


def field(page: Page) -> Locator:
    return page.get_by_label("Fix this caption")


def lines(folder: Path) -> int:
    return len((folder / LIST).read_text(encoding="utf-8").splitlines())


def test_a_caption_is_fixed_and_that_is_taken_back(open_page: OpenPage, photo: MakePhoto, folder: Path) -> None:
    page = open_page()
    choose(page, photo(7))
    expect_caption(page, 7)
    expect(field(page)).to_have_value("a photo of red 7")
    expect(field(page)).to_have_accessible_description(
        "In English. The service keeps your sentence and a smaller copy of this photo, to learn from."
    )
    field(page).fill("two zebras")
    page.keyboard.press("Enter")
    expect(page.locator("#correction-kept")).to_have_text("Your correction is kept, thank you.")
    assert lines(folder) == 1
    expect(words(page)).to_have_count(5)
    page.get_by_role("button", name="Delete it again").click()
    expect(page.locator("#correction-kept")).to_have_text("Your correction is deleted.")
    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_value("two zebras")
    assert lines(folder) == 0


def test_each_photo_has_its_own(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose_several(page, {"1.png": photo(1), "2.png": photo(2)})
    expect(page.get_by_text("2 of 2 captioned")).to_be_visible()
    field(page).fill("two zebras")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Delete it again")).to_be_visible()
    thumbnails(page).nth(1).click()
    expect(field(page)).to_have_value("a photo of red 2")
    expect(page.locator("#correction-kept")).to_have_text("")
    expect(page.get_by_role("button", name="Delete it again")).to_be_hidden()
    thumbnails(page).nth(0).click()
    expect(page.get_by_role("button", name="Delete it again")).to_be_visible()


def test_what_is_refused_is_explained_and_kept(open_page: OpenPage, photo: MakePhoto, folder: Path) -> None:
    page = open_page(refused="422")
    choose(page, photo(7))
    expect_caption(page, 7)
    field(page).fill("?!")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("it must be a sentence of words")
    expect(field(page)).to_have_value("?!")


def test_a_service_that_is_full_says_so(open_page: OpenPage, photo: MakePhoto, folder: Path) -> None:
    page = open_page(refused="507")
    choose(page, photo(7))
    expect_caption(page, 7)
    for text in ("two zebras", "three zebras"):
        field(page).fill(text)
        page.keyboard.press("Enter")
        expect(page.locator("#correction-kept")).to_contain_text("kept")
    expect(page.get_by_role("alert")).to_contain_text("No more corrections are taken")
    assert lines(folder) == 1


@pytest.mark.parametrize("settings", [Settings(port=0)], indirect=False)
def test_a_service_without_corrections_shows_nothing_of_it(
    open_page: OpenPage, photo: MakePhoto, settings: Settings
) -> None:
    page = open_page()
    choose(page, photo(7))
    expect_caption(page, 7)
    expect(field(page)).to_have_count(0)
    expect(page.get_by_text("it does not keep them")).to_be_visible()


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_the_form_is_for_everyone(open_page: OpenPage, photo: MakePhoto, locale: str, width: int) -> None:
    page = open_page(locale=locale, viewport={"width": width, "height": 700}, reduced_motion="reduce")
    choose(page, photo(5))
    expect(words(page)).to_have_count(5)
    page.locator("#correction").fill("two zebras")
    page.keyboard.press("Enter")
    expect(page.locator("#correction-undo")).to_be_visible()
    expect_no_violations(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert locale == "en-US" or page.evaluate(LATIN) == []
    page.locator("#correction-undo").click()
    expect(page.locator("#correction-undo")).to_be_hidden()
    expect_no_violations(page)
    assert locale == "en-US" or page.evaluate(LATIN) == []
