"""Units over a text: what single gates and states of a recurrent network did at each word or character.

After Karpathy, Johnson and Fei-Fei 2016, "Visualizing and understanding recurrent networks".
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from captioner.errors import OptionError
from captioner.heatmap import INK, MUTED, PAPER, Font, shorten

GATES = ("input", "forget", "output", "reset", "update")  # sigmoids: 0 is closed, 1 is open
BLUE_TO_RED = ((30, 84, 178), (120, 168, 230), (255, 255, 255), (244, 148, 128), (190, 24, 44))
WHITE_TO_GREEN = ((255, 255, 255), (190, 228, 206), (104, 188, 156), (28, 132, 108), (0, 78, 66))
FRAME = (226, 226, 232)  # around words, so that white ones can be told from paper
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue
DARK = 128  # luminance below which a background gets light letters

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Unit:
    """One number of the activations.

    Attributes:
        name: The gate or state, a name such as ``"language.0.forget"``.
        index: Which of its N numbers, from 0.
    """

    name: str
    index: int

    def __str__(self) -> str:
        return f"{self.name}:{self.index}"

    @classmethod
    def parse(cls, text: str) -> "Unit":
        """Read ``NAME:INDEX``.

        Raises:
            OptionError: If the text has another form.
        """
        name, _, index = text.rpartition(":")
        if not (name and index.isascii() and index.isdigit()):
            raise OptionError(f"{text!r} is no unit; it must be NAME:INDEX, such as language.0.forget:17")
        return cls(name, int(index))


def choose_units(activations: Mapping[str, ArrayLike], count: int = 8, state: str = "hidden") -> list[Unit]:
    """Choose the units of each stack's top layer that vary most over the text, by standard deviation.

    Args:
        activations: As in :attr:`captioner.types.Caption.activations`: from ``"stack.layer.state"`` to ``[T, N]``.
        count: Units per stack; all of them if it has fewer.
        state: The gate or state to choose from.

    Returns:
        The units, stack by stack, those that vary most first.

    Raises:
        OptionError: If the count is below 1, or no name ends in the state.
    """
    if count < 1:
        raise OptionError(f"count is {count}; it must be at least 1")
    top: dict[str, tuple[int, str]] = {}
    for name in activations:
        stack, layer, kind = _parts(name)
        if kind == state:
            top[stack] = max(top.get(stack, (layer, name)), (layer, name))
    if not top:
        raise OptionError(f"no activation is called {state}; there are {_listed(activations)}")
    return [unit for _, name in top.values() for unit in _most_varying(name, np.asarray(activations[name]), count)]


def _parts(name: str) -> tuple[str, int, str]:
    """Split ``"stack.layer.state"``; a name without a layer is a layer 0."""
    path, _, kind = name.rpartition(".")
    stack, _, layer = path.rpartition(".")
    return (stack, int(layer), kind) if layer.isdecimal() else (path, 0, kind)


def _most_varying(name: str, values: NDArray[np.float32], count: int) -> list[Unit]:
    spread = values.std(axis=0) if len(values) else np.zeros(values.shape[1])
    order = np.argsort(-spread, kind="stable")[:count]
    return [Unit(name, int(index)) for index in order]


def unit_rows(activations: Mapping[str, ArrayLike], units: Iterable[Unit]) -> dict[str, NDArray[np.float32]]:
    """Look up what units did, as the rows of :func:`unit_plot`.

    Args:
        activations: From a name to ``[T, N]``.
        units: Which of the numbers.

    Returns:
        From ``"NAME:INDEX"`` to ``[T]``, in the order of the units.

    Raises:
        OptionError: If there is no such name, or no such index in it.
    """
    rows = {}
    for unit in units:
        if unit.name not in activations:
            raise OptionError(f"no activation is called {unit.name!r}; there are {_listed(activations)}")
        values = np.asarray(activations[unit.name], dtype=np.float32)  # [T, N]
        if not 0 <= unit.index < values.shape[1]:
            raise OptionError(f"{unit}: the index must be between 0 and {values.shape[1] - 1}")
        rows[str(unit)] = values[:, unit.index]
    return rows


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


@dataclass(frozen=True)
class Scale:
    """From activations to colours.

    Attributes:
        low: The activation of the first colour.
        high: That of the last.
        colours: Evenly spaced from low to high.
    """

    low: float
    high: float
    colours: Sequence[RGB]

    @classmethod
    def of(cls, name: str, values: NDArray[np.float32]) -> "Scale":
        """Choose the scale of a row: 0 to 1 for a gate, else white at 0 and as wide to both sides.

        A gate is told by its name, a unit's or a gate's. States are drawn from -1 to 1, so that rows can be compared,
        or wider if a value lies outside.
        """
        kind = name.rpartition(":")[0] or name
        if _parts(kind)[2] in GATES and values.min() >= 0 and values.max() <= 1:
            return cls(0.0, 1.0, WHITE_TO_GREEN)
        limit = max(1.0, float(np.abs(values).max()))
        return cls(-limit, limit, BLUE_TO_RED)

    def __str__(self) -> str:
        return f"{self.low:.3g} to {self.high:.3g}"

    def colour(self, value: float) -> RGB:
        """Return the colour of an activation."""
        stops = np.linspace(self.low, self.high, len(self.colours))
        red, green, blue = (round(float(np.interp(value, stops, c))) for c in zip(*self.colours, strict=True))
        return red, green, blue


def unit_plot(
    words: Sequence[str], rows: Mapping[str, ArrayLike], *, width: int = 1200, font_size: int = 18
) -> Image.Image:
    """Draw a text once per unit, each word on the colour of the unit's activation.

    Blue is negative, white zero and red positive; the gates of a cell, told by their names, go from white, closed, to
    green, open. A row's name and range stand left of it. Long texts are wrapped. Words that are all single characters
    are set without spaces between them, and broken at spaces and after newlines.

    Args:
        words: The T words or characters.
        rows: From a row's name, such as ``"language.0.forget:17"``, to its T activations.
        width: Most pixels of the picture's width; a short text makes it narrower.
        font_size: Of the words, in pixels.

    Returns:
        A new RGB image.

    Raises:
        OptionError: If there are no words or rows, a row has not T finite numbers, or an option is out of range.
    """
    if not (800 <= width <= 10_000 and 8 <= font_size <= 48):
        raise OptionError(f"width is {width}, font_size is {font_size}; 800 to 10000 and 8 to 48 pixels are allowed")
    values = _checked(words, rows)
    style = _Style(font_size, characters=all(len(word) <= 1 for word in words))
    margin = min(style.label_width(values), width // 2)
    cells = list(_place(words, style, width - margin - 3 * style.gap))
    right = max(cell.left + cell.width for cell in cells)
    block = max((cells[-1].line + 1) * style.pitch, style.label_height)
    size = (margin + 3 * style.gap + right, style.gap + len(values) * (block + style.gap))
    canvas = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(canvas)
    for number, (name, row) in enumerate(values.items()):
        scale, top = Scale.of(name, row), style.gap + number * (block + style.gap)
        _draw_label(pen, (style.gap, top), margin, name, scale, style)
        _draw_text(pen, (margin + 2 * style.gap, top), cells, [scale.colour(value) for value in row], style)
    return canvas


def _checked(words: Sequence[str], rows: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float32]]:
    if not words:
        raise OptionError("the text has no words, so there is nothing to colour")
    if not rows:
        raise OptionError("no unit is given; at least one is needed")
    values = {name: np.asarray(row, dtype=np.float32) for name, row in rows.items()}
    for name, row in values.items():
        if row.shape != (len(words),) or not np.isfinite(row).all():
            raise OptionError(f"{name} has shape {row.shape}; it must be {len(words)} finite numbers, one per word")
    return values


class _Style:
    """Fonts and spaces; all of them follow from the size of the letters."""

    def __init__(self, font_size: int, *, characters: bool) -> None:
        self.characters = characters
        self.font = ImageFont.load_default(font_size)
        self.small = ImageFont.load_default(max(8, round(0.72 * font_size)))
        self.gap = font_size
        self.padding = round(0.08 * font_size) if characters else round(0.4 * font_size)
        self.space = 0 if characters else max(2, font_size // 6)
        self.height = round((1.5 if characters else 1.8) * font_size)
        self.pitch = self.height + max(2, font_size // 6)
        self.label_height = round(2.4 * font_size)
        self.bar = (4 * font_size, round(0.5 * font_size))

    def label_width(self, names: Iterable[str]) -> int:
        """Return how wide the column of names and legends must be."""
        legend = self.bar[0] + self.gap // 2 + self.small.getlength("-8.88 to 8.88")
        return round(max(legend, *(self.small.getlength(name) for name in names)))


@dataclass(frozen=True)
class _Cell:
    """Where a word stands in its row, in pixels."""

    text: str
    line: int
    left: int
    width: int


def _place(words: Sequence[str], style: _Style, room: int) -> Iterator[_Cell]:
    """Set words in lines that fit the room in pixels."""
    left = line = 0
    for chunk in _chunks(words, style.characters):
        texts = [_visible(text, style.font, room - 2 * style.padding) for text in chunk]
        widths = [max(style.gap // 4, round(style.font.getlength(text))) + 2 * style.padding for text in texts]
        if left and left + sum(widths) > room:
            left, line = 0, line + 1
        for text, width in zip(texts, widths, strict=True):
            if left + width > room:  # a chunk that is wider than a line
                left, line = 0, line + 1
            yield _Cell(text, line, left, width)
            left += width + style.space
        if chunk[-1] == "\n":
            left, line = 0, line + 1


def _chunks(words: Sequence[str], characters: bool) -> Iterator[list[str]]:
    """Group what should stay in one line: each word, or characters up to the next white space."""
    chunk: list[str] = []
    for word in words:
        chunk.append(word)
        if not characters or word.isspace():
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _visible(text: str, font: Font, room: float) -> str:
    """Return what is drawn for a word: a line's end is spelled, other white space is blank."""
    return "\\n" if text == "\n" else shorten(" ".join(text.split()), font, room)


def _draw_label(
    pen: ImageDraw.ImageDraw, corner: tuple[int, int], room: int, name: str, scale: Scale, style: _Style
) -> None:
    """Write a row's name, and under it the legend: its colours and its range."""
    left, top = corner
    pen.text((left, top), shorten(name, style.small, room), INK, style.small)
    width, height = style.bar
    middle = top + round(1.7 * style.gap)
    box = (left, middle - height // 2, left + width + 1, middle + height // 2)
    for step in range(width):
        colour = scale.colour(scale.low + (scale.high - scale.low) * step / (width - 1))
        pen.line((left + 1 + step, box[1], left + 1 + step, box[3]), colour)
    pen.rectangle(box, outline=FRAME)
    pen.text((box[2] + style.gap // 2, middle), str(scale), MUTED, style.small, anchor="lm")


def _draw_text(
    pen: ImageDraw.ImageDraw, corner: tuple[int, int], cells: Iterable[_Cell], colours: Iterable[RGB], style: _Style
) -> None:
    frame = None if style.characters else FRAME
    for cell, colour in zip(cells, colours, strict=True):
        left, top = corner[0] + cell.left, corner[1] + cell.line * style.pitch
        box = (left, top, left + cell.width - 1, top + style.height - 1)
        pen.rectangle(box, fill=colour, outline=frame)
        middle = (left + cell.width / 2, top + style.height / 2)
        pen.text(middle, cell.text, PAPER if np.dot(LUMINANCE, colour) < DARK else INK, style.font, anchor="mm")
