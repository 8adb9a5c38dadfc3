"""How the heatmap is drawn in a real Chromium, and what of it can be taken along."""

# ruff: noqa: RUF001 - the page's own apostrophes

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from service.inference.predictor import Predictor
from tests.support.browsing import choose, expect_caption, expect_heat, words
from tests.support.fakes import CELLS, SurePredictor

MakePhoto = Callable[..., bytes]
OpenPage = Callable[..., Page]

pytestmark = pytest.mark.browser

ALPHAS = """canvas => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const alphas = [];
    for (let i = 3; i < data.length; i += 4) alphas.push(data[i]);
    return [Math.min(...alphas), Math.max(...alphas), new Set(alphas).size];
}"""


def alphas(page: Page) -> tuple[int, int, int]:
    low, high, count = page.locator("#heatmap").evaluate(ALPHAS)
    return low, high, count


def show_word(page: Page, index: int) -> None:
    words(page).nth(index).focus()
    expect_heat(page, CELLS[index])


def test_opacity_changes_the_heatmap_and_nothing_hides_it_for_good(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(reduced_motion="reduce")
    choose(page, photo(7))
    expect_caption(page, 7)
    show_word(page, 2)
    _, usual, _ = alphas(page)
    slider = page.get_by_role("slider", name="Opacity")
    expect(slider).to_have_value("70")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("75")
    assert alphas(page)[1] > usual
    page.keyboard.press("Home")
    assert alphas(page)[:2] == (0, 0)
    page.keyboard.press("End")
    assert usual < alphas(page)[1] < 256
    show_word(page, 4)


def test_raw_shows_cells_on_one_scale_with_true_numbers(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(reduced_motion="reduce")
    choose(page, photo(7))
    expect_caption(page, 7)
    measure, ends = page.locator("#measure"), page.locator(".ramp span")
    expect(measure).to_contain_text("The strongest spot of the caption holds 60%")
    show_word(page, 0)
    assert alphas(page)[2] > 10
    expect(measure).to_contain_text("strongest spot holds 60% of its attention, its weakest 0.8%")
    expect(ends).to_have_text(["0.8%", "60%"])
    page.get_by_role("radio", name="Raw").check(force=True)
    assert alphas(page)[2] == 2
    expect(ends).to_have_text(["0%", "60%"])
    expect(measure).to_contain_text("one scale for all words. This word’s strongest cell holds 60%")
    for index, cell in enumerate(CELLS):
        words(page).nth(index).focus()
        expect_heat(page, cell)
    page.keyboard.press("Escape")
    expect(measure).to_contain_text("The strongest cell holds 60%")
    page.get_by_role("radio", name="Raw").focus()
    page.keyboard.press("ArrowLeft")
    show_word(page, 3)
    assert alphas(page)[2] > 10


def test_the_picture_is_saved_with_its_caption_and_the_heat_of_the_word(
    open_page: OpenPage, photo: MakePhoto, tmp_path: Path
) -> None:
    page = open_page(reduced_motion="reduce")
    choose(page, photo(7, size=(640, 480)), "my photo.png")
    expect_caption(page, 7)
    pictures = []
    for index in (None, 0, 4):
        if index is not None:
            show_word(page, index)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save picture").click()
        assert download.value.suggested_filename == "my photo-caption.png"
        download.value.save_as(tmp_path / "saved.png")
        pictures.append(np.asarray(Image.open(io.BytesIO((tmp_path / "saved.png").read_bytes())).convert("RGB"), int))
    bare, first, last = pictures
    assert bare.shape[1] == 640
    assert bare.shape[0] > 500
    assert np.ptp(bare[:480].reshape(-1, 3), axis=0).max() < 4
    assert bare[490:].min() < 80  # ink
    assert first[20, 20].sum() > first[460, 620].sum()
    assert last[20, 20].sum() < last[460, 620].sum()


def test_the_answer_is_saved_as_it_came(open_page: OpenPage, photo: MakePhoto, tmp_path: Path) -> None:
    page = open_page()
    choose(page, photo(7), "dog.png")
    expect_caption(page, 7)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save JSON").click()
    assert download.value.suggested_filename == "dog-caption.json"
    download.value.save_as(tmp_path / "answer.json")
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["file"] == "dog.png"
    assert [caption["text"] for caption in answer["captions"]][:2] == ["a photo of red 7", "a photo-2 of red 7"]
    assert answer["attention_grid"] == [7, 7]


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_the_caption_is_copied(open_page: OpenPage, photo: MakePhoto, has_clipboard: bool) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    choose(page, photo(7))
    expect_caption(page, 7)
    read = page.evaluate_handle("() => navigator.clipboard")
    if not has_clipboard:
        page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy caption").click()
    expect(page.get_by_role("button", name="Copied")).to_be_focused()
    assert read.evaluate("clipboard => clipboard.readText()") == "a photo of red 7"
    expect(page.get_by_role("button", name="Copy caption")).to_be_visible()


@pytest.mark.parametrize("predictor", [SurePredictor(0.7, False)], indirect=True)
def test_a_calibrated_model_tells_how_good_its_captions_are(
    open_page: OpenPage, photo: MakePhoto, predictor: Predictor
) -> None:
    page = open_page()
    choose(page, photo(7))
    expect_caption(page, 7)
    expect(page.locator("#verdict")).to_have_text("70% likely to be a good caption")
    expect(page.locator(".choice-confidence").first).to_contain_text("70% likely to be a good caption")
    words(page).nth(2).focus()
    expect(page.locator("#detail")).to_contain_text("of 17% sure")
