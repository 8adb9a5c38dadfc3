import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from captioner.errors import OptionError
from captioner.heatmap import COLOURS, PAPER, contact_sheet, overlay
from captioner.types import Caption, Word

GREY = Image.new("RGB", (140, 84), (128, 128, 128))


def luminance(image: Image.Image) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.asarray(image, dtype=np.float64) @ np.array([0.2126, 0.7152, 0.0722])
    return values


def caption_of(*texts: str, rows: int = 3, cols: int = 3, log_prob: float = -0.5) -> Caption:
    maps = np.random.default_rng(0).random((len(texts), rows, cols), dtype=np.float32)
    maps /= maps.sum(axis=(1, 2), keepdims=True) if texts else 1
    words = tuple(Word(text, log_prob) for text in texts)
    return Caption(" ".join(texts), words, log_prob * len(texts), maps, finished=True)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), rows=st.integers(1, 14), cols=st.integers(1, 14))
def test_the_hottest_pixel_lies_in_the_attended_cell(data: st.DataObject, rows: int, cols: int) -> None:
    row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    weights = np.zeros((rows, cols))
    weights[row, col] = 1
    heat = luminance(overlay(GREY, weights))
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    assert int((y + 0.5) * rows / GREY.height) == row
    assert int((x + 0.5) * cols / GREY.width) == col


def test_a_uniform_map_tints_the_picture_evenly() -> None:
    image = overlay(GREY, np.full((7, 7), 1 / 49), opacity=0.5)
    expected = [(128 + colour) / 2 for colour in COLOURS[-1]]
    assert np.abs(np.asarray(image) - expected).max() <= 1


def test_colours_depend_on_ratios_only() -> None:
    weights = np.random.default_rng(0).random((7, 7))
    first, second = np.asarray(overlay(GREY, weights)), np.asarray(overlay(GREY, weights * 1e-3))
    assert np.abs(first.astype(int) - second).max() <= 1


def test_more_attention_is_never_darker() -> None:
    ramp = luminance(overlay(GREY, np.linspace(0, 1, 50)[None, :]))
    assert (np.diff(ramp.mean(axis=0)) > -1).all()
    assert ramp[:, -1].mean() > ramp[:, 0].mean() + 60


def test_unattended_places_stay_visible_but_dimmed() -> None:
    values = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    weights = np.zeros((4, 4))
    weights[0, 0] = 1
    there = np.asarray(overlay(Image.fromarray(values), weights))[40:, 40:]
    assert there.mean() < values[40:, 40:].mean()
    assert np.corrcoef(there.ravel(), values[40:, 40:].ravel())[0, 1] > 0.95


def test_no_opacity_is_the_bare_picture_and_the_image_is_not_touched() -> None:
    before = GREY.tobytes()
    assert overlay(GREY, np.eye(4), opacity=0).tobytes() == before
    overlay(GREY, np.eye(4))
    assert before == GREY.tobytes()


def test_size_and_mode() -> None:
    image = overlay(GREY.convert("L"), np.zeros((2, 2)), size=(31, 17))
    assert (image.size, image.mode) == ((31, 17), "RGB")


@pytest.mark.parametrize(
    "weights", [np.ones(4), np.ones((2, 2, 2)), np.ones((0, 3)), [[1.0, -0.1]], [[np.nan, 1]], [[np.inf, 1]]]
)
def test_weights_that_are_no_attention(weights: object) -> None:
    with pytest.raises(OptionError, match="attention weights"):
        overlay(GREY, weights)  # type: ignore[arg-type]


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_opacity_is_checked(opacity: float) -> None:
    with pytest.raises(OptionError, match="opacity"):
        overlay(GREY, np.ones((2, 2)), opacity=opacity)


def drawn(sheet: Image.Image) -> float:
    """Return which part of a sheet is not bare paper."""
    return float((np.asarray(sheet) != PAPER).any(axis=2).mean())


def test_sheet_has_a_tile_per_word_and_the_plain_picture_first() -> None:
    red = Image.new("RGB", (200, 150), (255, 0, 0))
    sheets = [contact_sheet(red, caption_of(*["dog"] * words), tile=100) for words in range(8)]
    reds = [(np.asarray(sheet) == (255, 0, 0)).all(axis=2).sum() for sheet in sheets]
    assert max(reds) == min(reds)
    assert 7000 < min(reds) <= 100 * 75
    widths, heights = zip(*(sheet.size for sheet in sheets), strict=True)
    assert list(widths) == sorted(widths)
    assert widths[3] == widths[7]  # four columns, then another row
    assert heights[3] < heights[4] == heights[7]


def test_words_and_probabilities_are_written() -> None:
    plain = np.asarray(contact_sheet(GREY, caption_of("dog")))
    for other in (caption_of("cat"), caption_of("dog", log_prob=-1.0)):
        sheet = np.asarray(contact_sheet(GREY, other))
        assert plain.shape == sheet.shape
        assert (plain != sheet).any()


@pytest.mark.parametrize("size", [(900, 300), (300, 900), (5000, 100), (100, 5000), (8, 8), (1, 50)])
def test_any_aspect(size: tuple[int, int]) -> None:
    sheet = contact_sheet(Image.new("RGB", size, (9, 99, 9)), caption_of("a", "dog"), tile=160)
    assert sheet.width <= 3 * 160 + 4 * 40
    assert 0 < drawn(sheet) < 1


@pytest.mark.parametrize(
    "texts",
    [
        ("\u732b", "\u05db\u05dc\u05d1", "\U0001f415", "e\u0301"),
        ("x" * 500,),
        ("two\nlines", "tab\there", "", "\0", "\ud800"),
        ("word",) * 60,
    ],
)
def test_odd_words_do_not_crash(texts: tuple[str, ...]) -> None:
    sheet = contact_sheet(GREY, caption_of(*texts), tile=64)
    assert sheet.width <= 4 * 64 + 5 * 20


def test_a_word_stays_on_its_line() -> None:
    sheets = [contact_sheet(GREY, caption_of(word)) for word in ("two lines", " two\n lines\t")]
    assert sheets[0].tobytes() == sheets[1].tobytes()


def test_a_long_caption_is_wrapped() -> None:
    words = ["elephant"] * 12
    narrow = contact_sheet(GREY, caption_of(*words), columns=1, tile=100)
    assert narrow.width < 200
    assert narrow.height > 13 * 60


def test_what_cannot_be_drawn() -> None:
    caption = caption_of("a", "dog")
    silent = Caption(caption.text, caption.words, caption.log_prob, None, finished=True)
    with pytest.raises(OptionError, match="no attention"):
        contact_sheet(GREY, silent)
    lacking = Caption(caption.text, caption.words[:1], caption.log_prob, caption.attention, finished=True)
    with pytest.raises(OptionError, match="1 words but 2 maps"):
        contact_sheet(GREY, lacking)
    for options in ({"columns": 0}, {"tile": 5}, {"tile": 5000}):
        with pytest.raises(OptionError, match="columns"):
            contact_sheet(GREY, caption, **options)
