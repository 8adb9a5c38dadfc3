"""The page's tools in a real Chromium: sentences of one's own, options, several captions, models that do not attend."""

# ruff: noqa: RUF001 - the page's own minus signs and apostrophes

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from service.inference.predictor import Predictor
from tests.support.browsing import active, choose, expect_caption, expect_heat, texts, words
from tests.support.fakes import CELLS, STRANGE, BlindPredictor, Recorder

MakePhoto = Callable[..., bytes]
OpenPage = Callable[..., Page]

pytestmark = pytest.mark.browser


def write_sentence(page: Page, text: str) -> None:
    page.get_by_label("Score your own sentence").fill(text)
    page.keyboard.press("Enter")


def ask(page: Page, question: str) -> None:
    page.get_by_label("Ask about the photo").fill(question)
    page.keyboard.press("Enter")


def open_options(page: Page) -> None:
    page.locator("#options summary").click()


def caption_again(page: Page) -> None:
    with page.expect_response("**/v1/captions"):
        page.get_by_role("button", name="Caption again").click()


def choices(page: Page) -> Locator:
    return page.get_by_role("group", name="Captions found").get_by_role("radio")


def test_a_sentence_is_scored_and_left_again(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo(7))
    expect_caption(page, 7)
    write_sentence(page, f"two {STRANGE} run")
    expect(texts(page)).to_have_text(["two", STRANGE, "run"])
    compared = "Your sentence: log-probability −23.1; the model’s caption: −4.0"
    expect(page.locator("#comparison")).to_contain_text(compared)
    expect(page.get_by_role("status")).to_have_text(compared)
    expect(page.get_by_role("group", name="Your sentence, word by word")).to_be_visible()
    words(page).nth(1).hover()
    expect_heat(page, CELLS[1])
    page.get_by_role("button", name="Back to the model’s caption").click()
    expect_caption(page, 7)
    expect(page.locator("#comparison")).to_be_hidden()
    expect(page.get_by_role("button", name="Back to")).to_be_hidden()
    expect(page.get_by_label("Score your own sentence")).to_have_value(f"two {STRANGE} run")


def test_a_question_is_answered_and_left_again(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo(7))
    expect_caption(page, 7)
    ask(page, f"how many {STRANGE} are there?")
    expect(texts(page)).to_have_text(["7"])
    answered = f"“how many {STRANGE} are there?”: 7, 75% sure"
    expect(page.locator("#comparison")).to_contain_text(answered)
    expect(page.locator("#comparison")).to_contain_text("Or else: 8 13%")
    expect(page.locator("#comparison")).to_contain_text(f"does not know: {STRANGE}")
    expect(page.get_by_role("status")).to_have_text("Answer: 7")
    expect_heat(page, CELLS[1])
    write_sentence(page, "two dogs")
    expect(texts(page)).to_have_text(["two", "dogs"])
    ask(page, "what is this?")
    expect(texts(page)).to_have_text(["7"])
    page.get_by_role("button", name="Back to the model’s caption").click()
    expect_caption(page, 7)
    expect(page.get_by_label("Ask about the photo")).to_have_value("what is this?")


def test_a_question_without_words_is_explained_and_kept(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="422")
    choose(page, photo(7))
    expect_caption(page, 7)
    ask(page, "  ?")
    expect(page.get_by_role("alert")).to_contain_text("The question has 0 words")
    expect(page.get_by_label("Ask about the photo")).to_have_attribute("aria-invalid", "true")
    expect_caption(page, 7)


def test_unknown_words_are_marked(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo())
    write_sentence(page, f"two {STRANGE}")
    strange = page.get_by_role("button", name=f"{STRANGE} not in the vocabulary, 61% sure")
    expect(strange).to_have_attribute("title", "not in the vocabulary")
    expect(page.locator(".unknown > [lang=en]")).to_have_text([STRANGE])
    expect(page.locator("#comparison")).to_contain_text("Words in a dashed frame")
    strange.focus()
    expect(page.locator("#detail")).to_contain_text(f"{STRANGE} not in the vocabulary")
    write_sentence(page, "two dogs")
    expect(page.locator("#comparison")).not_to_contain_text("Words in a dashed frame")
    expect(page.locator(".unknown")).to_have_count(0)


def test_a_sentence_without_words_is_explained_and_kept(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="422")
    choose(page, photo(7))
    expect_caption(page, 7)
    field = page.get_by_label("Score your own sentence")
    write_sentence(page, "   ")
    expect(page.get_by_role("alert")).to_contain_text("The text has 0 words")
    expect(field).to_have_value("   ")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect_caption(page, 7)
    expect(page.locator("#picture")).to_be_visible()
    page.keyboard.type("x")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_sentence_is_never_markup_and_never_too_long(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo())
    write_sentence(page, "<b>dogs</b> <img/src=x>")
    expect(texts(page)).to_have_text(["<b>dogs</b>", "<img/src=x>"])
    assert page.locator("#caption b, #caption img").count() == 0
    expect(page.get_by_label("Score your own sentence")).to_have_attribute("maxlength", "1000")


def test_keys_in_a_field_belong_to_the_field(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo())
    expect(words(page)).to_have_count(5)
    field = page.get_by_label("Score your own sentence")
    field.fill("do")
    page.keyboard.press("ArrowLeft")
    page.keyboard.type("ou")
    expect(field).to_have_value("douo")
    expect(field).to_be_focused()
    expect(active(page)).to_have_count(0)


def test_text_can_be_pasted_into_a_field(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo())
    field = page.get_by_label("Score your own sentence")
    field.fill("two dogs")
    field.press("Control+A")
    field.press("Control+X")
    expect(field).to_have_value("")
    field.press("Control+V")
    expect(field).to_have_value("two dogs")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_several_captions_are_a_choice(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo(9))
    expect_caption(page, 9)
    expect(choices(page)).to_have_count(3)
    open_options(page)
    page.get_by_role("combobox").select_option("4")
    caption_again(page)
    expect(choices(page)).to_have_count(4)
    expect(choices(page).nth(0)).to_be_checked()
    page.get_by_label("a photo-3 of red 9").check()
    expect(texts(page)).to_have_text(["a", "photo-3", "of", "red", "9"])
    expect(page.locator(".choice-confidence").nth(2)).to_have_text("47% sure per word · log-probability −6.0")
    page.keyboard.press("ArrowUp")
    expect(texts(page).nth(1)).to_have_text("photo-2")
    write_sentence(page, "two dogs")
    expect(page.locator("#comparison")).to_contain_text("the model’s caption: −5.0")
    expect(page.locator("#choices :checked")).to_have_count(0)
    choices(page).nth(1).check()
    expect(texts(page).nth(1)).to_have_text("photo-2")
    expect(page.locator("#comparison")).to_be_hidden()


@pytest.mark.parametrize("predictor", [Recorder()], indirect=True)
def test_options_reach_the_model(open_page: OpenPage, photo: MakePhoto, predictor: Predictor) -> None:
    assert isinstance(predictor, Recorder)
    page = open_page()
    choose(page, photo(9))
    expect_caption(page, 9)
    assert predictor.options[-1].beam_size == 5
    open_options(page)
    page.get_by_label("Varied").check()
    page.get_by_label("Most words").fill("7")
    page.get_by_label("Forced beginning").fill(" two dogs ")
    expect(page.locator("#options summary")).to_have_text("Options Varied, up to 7 words, “two dogs …”")
    caption_again(page)
    expect(choices(page)).to_have_count(3)
    varied = predictor.options[-1]
    assert (varied.search, varied.groups, varied.num_captions) == ("beam", 3, 3)
    assert (varied.max_length, varied.beginning) == (7, "two dogs")
    page.get_by_label("Creative").check()
    expect(page.get_by_label("Beams")).to_be_disabled()
    page.get_by_role("combobox").select_option("1")
    caption_again(page)
    expect(choices(page)).to_have_count(0)
    assert (predictor.options[-1].search, predictor.options[-1].num_captions) == ("sample", 1)
    choose(page, photo(10))
    expect_caption(page, 10)
    assert predictor.options[-1].beginning == "two dogs"
    page.get_by_label("Best").check()
    page.get_by_label("Beams").fill("7")
    expect(page.locator("#options summary")).to_contain_text("one caption, 7 beams")
    caption_again(page)
    expect_caption(page, 10)
    assert predictor.options[-1].beam_size == 7


def test_an_option_that_does_not_fit_loses_neither_photo_nor_text(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="422")
    choose(page, photo(9))
    expect_caption(page, 9)
    open_options(page)
    page.get_by_label("Forced beginning").fill(f"two {STRANGE}")
    caption_again(page)
    expect(page.get_by_role("alert")).to_contain_text("That option does not fit")
    expect(page.locator("#notice q")).to_contain_text(STRANGE)
    expect_caption(page, 9)
    choose(page, photo(10))
    expect(page.get_by_role("alert")).to_contain_text(STRANGE)
    expect(page.locator("#picture")).to_be_visible()
    expect(words(page)).to_have_count(0)
    write_sentence(page, "two dogs")
    expect(page.locator("#comparison")).to_contain_text("Your sentence: log-probability −23.1")
    expect(page.get_by_role("button", name="Back to")).to_be_hidden()
    page.get_by_label("Forced beginning").fill("two")
    caption_again(page)
    expect_caption(page, 10)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_tools_are_walked_with_the_keyboard_alone(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo(9))
    expect_caption(page, 9)
    choices(page).nth(0).focus()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Ask about the photo")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Ask")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Score your own sentence")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Score")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Best")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Varied")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("combobox")).to_have_value("4")
    for field in ("Most words", "Forced beginning"):  # beams are not for varied captions
        page.keyboard.press("Tab")
        expect(page.get_by_label(field)).to_be_focused()
    page.keyboard.press("Enter")
    expect(choices(page)).to_have_count(4)


@pytest.mark.parametrize("predictor", [BlindPredictor()], indirect=True)
def test_a_model_that_does_not_attend_says_so(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    choose(page, photo(9))
    expect_caption(page, 9)
    expect(page.get_by_text("This model does not attend")).to_be_visible()
    expect(page.locator("#play")).to_be_hidden()
    expect(page.locator("#detail")).to_contain_text("how sure the model was")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#detail")).to_have_text("a 78% sure")
    expect(page.locator("#lens")).to_be_hidden()
    expect_heat(page, None)
    write_sentence(page, "two dogs")
    expect(texts(page)).to_have_text(["two", "dogs"])
    expect(page.locator("#comparison")).to_contain_text("−23.1")
    expect(page.locator("#play")).to_be_hidden()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_scrolls_sideways(open_page: OpenPage, photo: MakePhoto, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 700})
    choose(page, photo(9))
    expect_caption(page, 9)
    open_options(page)
    page.get_by_label("Varied").check()
    page.get_by_label("Forced beginning").fill("x" * 200)
    caption_again(page)
    expect(choices(page)).to_have_count(3)
    write_sentence(page, "y" * 300)
    expect(page.locator("#comparison")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
