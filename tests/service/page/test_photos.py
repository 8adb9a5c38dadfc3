"""Several photos in a real Chromium: queued, shown in turn, kept for the session; and the camera."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.browsing import choose, choose_several, expect_caption, give, thumbnails

MakePhoto = Callable[..., bytes]
OpenPage = Callable[..., Page]

pytestmark = pytest.mark.browser


def test_several_photos_are_captioned_in_turn_two_at_a_time(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    held: list[Route] = []
    page.route("**/v1/captions", lambda route: held.append(route))  # noqa: PLW0108 - playwright takes no builtin
    choose_several(page, {f"{red}.png": photo(red) for red in range(1, 6)})
    expect(thumbnails(page)).to_have_count(5)
    expect(thumbnails(page).nth(1)).to_have_accessible_name("Photo 2, being captioned")
    expect(thumbnails(page).nth(2)).to_have_accessible_name("Photo 3, waiting for its turn")
    for answered in range(5):
        page.wait_for_function("n => document.querySelectorAll('[data-state=done]').length === n", arg=answered)
        assert page.locator("[data-state=working]").count() == min(2, 5 - answered)
        while not held:
            page.wait_for_timeout(20)  # lets the route's handler run
        held.pop(0).continue_()
    expect(page.get_by_text("5 of 5 captioned")).to_be_visible()
    expect_caption(page, 1)
    thumbnails(page).nth(3).click()
    expect_caption(page, 4)
    expect(thumbnails(page).nth(3)).to_have_attribute("aria-current", "true")


def test_the_photo_that_is_shown_is_in_view(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(viewport={"width": 390, "height": 844})
    choose_several(page, {f"{red}.png": photo(red) for red in range(1, 7)})
    expect_caption(page, 1)
    expect(thumbnails(page).nth(0)).to_be_in_viewport(ratio=1)
    expect(thumbnails(page).nth(5)).not_to_be_in_viewport()
    page.locator(".samples button").last.click()
    expect(thumbnails(page).nth(6)).to_be_in_viewport(ratio=1)
    expect(page.locator("#picture")).to_be_in_viewport(ratio=1)


def test_photos_that_wait_can_be_cancelled(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    page.route("**/v1/captions", lambda _: None)
    choose_several(page, {f"{red}.png": photo(red) for red in range(1, 5)})
    page.locator("#cancel").click()
    expect(thumbnails(page).nth(0)).to_have_accessible_name("Photo 1, cancelled")
    expect(thumbnails(page).nth(2)).to_have_accessible_name("Photo 3, being captioned")
    page.get_by_role("button", name="Cancel all").click()
    expect(page.locator("[data-state=cancelled]")).to_have_count(4)
    expect(page.get_by_role("button", name="Cancel all")).to_be_hidden()
    page.unroute("**/v1/captions")
    page.get_by_role("button", name="Try again").click()
    expect_caption(page, 1)


def test_each_photo_keeps_what_was_chosen_and_asked(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo(1))
    expect_caption(page, 1)
    page.get_by_label("a photo-2 of red 1").check()
    choose(page, photo(2))
    expect_caption(page, 2)
    page.get_by_label("Score your own sentence").fill("two dogs")
    page.keyboard.press("Enter")
    expect(page.locator("#comparison")).to_be_visible()
    thumbnails(page).nth(0).click()
    expect(page.get_by_label("a photo-2 of red 1")).to_be_checked()
    expect(page.locator("#comparison")).to_be_hidden()
    thumbnails(page).nth(1).click()
    expect(page.locator("#comparison")).to_contain_text("Your sentence")


def test_the_session_is_forgotten(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(failed="ERR_FILE_NOT_FOUND")
    give(page, "drop", "a.png", photo(1))
    expect_caption(page, 1)
    give(page, "paste", "b.png", photo(2))
    expect_caption(page, 2)
    expect(thumbnails(page)).to_have_count(2)
    address = page.locator("#picture").get_attribute("src")
    page.get_by_role("button", name="Clear all").click()
    expect(thumbnails(page)).to_have_count(0)
    expect(page.locator("#stage")).to_be_hidden()
    expect(page.locator("#file")).to_be_focused()
    gone = page.evaluate("address => new Promise(end => Object.assign(new Image(), { onerror: end, src: address }))"
                         ".then(() => true)", address)  # fmt: skip
    assert gone
    assert page.evaluate("() => sessionStorage.length + localStorage.length") == 0
    choose(page, photo(3))
    expect(thumbnails(page)).to_have_accessible_name("Photo 1, captioned: a photo of red 3")
    page.reload()
    expect(page.locator("#stage")).to_be_hidden()


def test_all_answers_are_saved_together(open_page: OpenPage, photo: MakePhoto, tmp_path: Path) -> None:
    page = open_page()
    choose_several(page, {"one.png": photo(1), "two.png": photo(2)})
    expect(page.get_by_text("2 of 2 captioned")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save all").click()
    assert download.value.suggested_filename == "captions.json"
    download.value.save_as(tmp_path / "captions.json")
    answers = json.loads((tmp_path / "captions.json").read_text())
    assert [(answer["file"], answer["captions"][0]["text"]) for answer in answers] == [
        ("one.png", "a photo of red 1"),
        ("two.png", "a photo of red 2"),
    ]


def test_the_camera_takes_a_photo_and_is_let_go(open_page: OpenPage) -> None:
    page = open_page(permissions=["camera"])
    page.evaluate(
        """() => {
            const devices = navigator.mediaDevices, open = devices.getUserMedia.bind(devices);
            devices.getUserMedia = async (wishes) => (window.stream = await open(wishes));
        }"""
    )
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("dialog", name="Camera").locator("video")).to_be_visible()
    page.get_by_role("button", name="Take the photo").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(thumbnails(page)).to_have_accessible_name(re.compile("^Photo 1, captioned: a photo of red"))
    assert page.locator("#picture").evaluate("async image => (await image.decode(), image.naturalWidth)") > 100
    assert page.evaluate("() => window.stream.getTracks().every((track) => track.readyState === 'ended')")
    page.get_by_role("button", name="Use the camera").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


@pytest.mark.parametrize(
    ("error", "told"), [("NotAllowedError", "may not be used"), ("NotFoundError", "No camera was found")]
)
def test_without_a_camera_a_photo_is_chosen(open_page: OpenPage, photo: MakePhoto, error: str, told: str) -> None:
    page = open_page()
    page.evaluate(
        "name => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', name)); }", error
    )
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text(told)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a photo instead").click()
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": photo(4)})
    expect_caption(page, 4)


def test_a_page_that_may_not_have_the_camera_asks_the_phone(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    page.evaluate("() => Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Use the camera").click()
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": photo(4)})
    expect_caption(page, 4)
