import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from captioner.activations import BLUE_TO_RED, GATES, WHITE_TO_GREEN, Scale, Unit, choose_units, unit_plot, unit_rows
from captioner.errors import OptionError
from captioner.heatmap import PAPER

Floats = NDArray[np.float32]


def noise(steps: int, units: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, units)).astype(np.float32)


def count(image: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(image) == colour).all(axis=2).sum())


@given(name=st.text(min_size=1), index=st.integers(0, 10**6))
def test_a_unit_reads_what_it_writes(name: str, index: int) -> None:
    assert Unit.parse(str(Unit(name, index))) == Unit(name, index)


@pytest.mark.parametrize("text", ["", ":1", "cell", "cell:", "cell:-1", "cell:1.5", "cell:x", "cell:²"])
def test_what_is_no_unit(text: str) -> None:
    with pytest.raises(OptionError, match="NAME:INDEX"):
        Unit.parse(text)


def test_the_units_that_vary_most_are_chosen_in_the_top_layer_of_each_stack() -> None:
    names = ("attention.0.hidden", "attention.0.cell", "language.2.hidden", "language.10.hidden", "language.10.cell")
    activations = {name: noise(7, 20, seed) for seed, name in enumerate(names)}
    chosen = choose_units(activations, count=3)
    assert [unit.name for unit in chosen] == ["attention.0.hidden"] * 3 + ["language.10.hidden"] * 3
    for name in ("attention.0.hidden", "language.10.hidden"):
        spread = activations[name].std(axis=0)
        indices = [unit.index for unit in chosen if unit.name == name]
        assert [spread[index] for index in indices] == sorted(spread, reverse=True)[:3]
    assert {unit.name for unit in choose_units(activations, state="cell")} == {"attention.0.cell", "language.10.cell"}


def test_no_more_units_are_chosen_than_there_are() -> None:
    assert len(choose_units({"language.0.hidden": noise(4, 5)}, count=8)) == 5


def test_what_cannot_be_chosen() -> None:
    with pytest.raises(OptionError, match=r"language\.0\.cell"):
        choose_units({"language.0.cell": noise(4, 5)})
    with pytest.raises(OptionError, match="count is 0"):
        choose_units({"language.0.hidden": noise(4, 5)}, count=0)


def test_rows_are_columns_of_the_activations() -> None:
    values = noise(4, 5)
    rows = unit_rows({"a": values}, [Unit("a", 4), Unit("a", 0)])
    assert list(rows) == ["a:4", "a:0"]
    assert np.array_equal(rows["a:4"], values[:, 4])
    for unit, message in ((Unit("b", 0), "there are a"), (Unit("a", 5), "between 0 and 4"), (Unit("a", -1), "0 and 4")):
        with pytest.raises(OptionError, match=message):
            unit_rows({"a": values}, [unit])


@pytest.mark.parametrize("gate", GATES)
def test_gates_go_from_white_to_green(gate: str) -> None:
    scale = Scale.of(f"language.0.{gate}:3", np.array([0.4, 0.6], np.float32))
    assert (scale.low, scale.high, scale.colours) == (0, 1, WHITE_TO_GREEN)


@pytest.mark.parametrize("name", ["language.0.cell:3", "language.0.hidden", "content", "whatever"])
@given(values=st.lists(st.floats(-50, 50, width=32), min_size=1))
@settings(max_examples=20)
def test_states_are_blue_below_zero_and_red_above(name: str, values: list[float]) -> None:
    scale = Scale.of(name, np.array(values, np.float32))
    assert scale.low == -scale.high == -max(1, *map(abs, values), 1)
    assert scale.colour(0) == (255, 255, 255)
    assert (scale.colour(scale.low), scale.colour(scale.high)) == (BLUE_TO_RED[0], BLUE_TO_RED[-1])
    for value in values:
        red, _, blue = scale.colour(value)
        assert (red - blue) * value >= 0


@pytest.mark.parametrize("colours", [BLUE_TO_RED[2:], BLUE_TO_RED[2::-1], WHITE_TO_GREEN])
def test_more_is_darker(colours: tuple[tuple[int, int, int], ...]) -> None:
    scale = Scale(0, 1, colours)
    luminance = [np.dot((0.2126, 0.7152, 0.0722), scale.colour(value)) for value in np.linspace(0, 1, 40)]
    assert (np.diff(luminance) < 0).all()


def test_words_stand_on_the_colour_of_their_activation() -> None:
    row = np.array([-1, 1, 0.25, 0.25, 0.5], np.float32)
    words = ["a", "wide", "word", "and", "more"]
    image = unit_plot(words, {"hidden:0": row})
    scale = Scale.of("hidden:0", row)
    areas = [count(image, scale.colour(float(value))) for value in row]
    assert min(areas) > 150
    assert areas[1] > areas[0]
    assert areas[2] == areas[3] > areas[4]  # two words have this colour
    found = np.asarray(image)
    columns = [np.nonzero((found == scale.colour(float(value))).all(axis=2))[1].mean() for value in row[[0, 1, 4]]]
    assert columns == sorted(columns)


def test_rows_stand_below_each_other_with_their_words_aligned() -> None:
    words = ["a", "dog", "runs"]
    rows = {"hidden:0": np.array([0, 1, 0]), "hidden:1": np.array([0, -1, 0])}
    found = np.asarray(unit_plot(words, rows))[:, 200:]
    (red_y, red_x), (blue_y, blue_x) = (
        np.nonzero((found == colour).all(axis=2)) for colour in (BLUE_TO_RED[-1], BLUE_TO_RED[0])
    )
    assert red_y.max() < blue_y.min()
    assert (red_x.min(), red_x.max()) == (blue_x.min(), blue_x.max())


@settings(max_examples=25, deadline=None)
@given(
    words=st.lists(st.text(max_size=12), min_size=1, max_size=40)
    | st.text("ab \n\t", min_size=1, max_size=400).map(list),
    width=st.integers(800, 1500),
    font_size=st.integers(8, 48),
)
def test_any_text_fits_the_page(words: list[str], width: int, font_size: int) -> None:
    image = unit_plot(words, {"hidden:0": np.full(len(words), 0.5)}, width=width, font_size=font_size)
    assert image.width <= width
    found = np.asarray(image)
    assert (found[:, -1] == PAPER).all()
    assert (found[-1] == PAPER).all()


def test_every_character_has_its_place() -> None:
    text = "It is a way I have of driving off the spleen.\nAnd regulating the circulation. " * 8
    image = unit_plot(list(text), {"cell:0": np.where(np.arange(len(text)) % 2, 0.5, -0.5)})
    scale = Scale.of("cell:0", np.ones(1, np.float32))
    warm, cold = count(image, scale.colour(0.5)), count(image, scale.colour(-0.5))
    assert min(warm, cold) > 10_000
    assert image.height > 16 * 18


def test_characters_are_set_closer_than_words() -> None:
    row = {"cell:0": np.zeros(10)}
    assert unit_plot(list("abcdefghij"), row).width + 60 < unit_plot([*"abcdefghi", "jj"], row).width


def test_a_word_that_is_wider_than_the_page_is_cut() -> None:
    image = unit_plot(["a", "w" * 500, "b"], {"cell:0": np.array([1, 1, -1])}, width=800)
    assert image.width <= 800
    assert count(image, BLUE_TO_RED[0]) > 100


@pytest.mark.parametrize(
    ("words", "rows", "message"),
    [
        ([], {"a": []}, "no words"),
        (["a"], {}, "no unit"),
        (["a"], {"cell:7": [1, 2]}, "cell:7"),
        (["a"], {"cell:7": [float("nan")]}, "cell:7"),
        (["a"], {"cell:7": [[1]]}, "cell:7"),
    ],
)
def test_what_cannot_be_drawn(words: list[str], rows: dict[str, list[float]], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        unit_plot(words, rows)


@pytest.mark.parametrize("options", [{"width": 799}, {"width": 10_001}, {"font_size": 7}, {"font_size": 49}])
def test_options_out_of_range(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        unit_plot(["a"], {"cell:0": [1]}, **options)
