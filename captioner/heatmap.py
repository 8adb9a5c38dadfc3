"""Attention over a picture: where the model looked while it chose a word."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from captioner.errors import OptionError
from captioner.types import Caption, Word

# From unattended to most attended, evenly spaced. Lightness only rises, so the order survives in grey too.
COLOURS = ((18, 16, 46), (74, 28, 96), (196, 58, 84), (250, 140, 44), (255, 224, 96))
VEIL = 0.9  # the part of the opacity that unattended regions get too: they stay visible, but dimmed
WIDEST, TALLEST = 1.0, 1.25  # of a picture on a contact sheet, in tiles
PAPER, INK, MUTED = (255, 255, 255), (28, 28, 34), (110, 110, 120)
ELLIPSIS = "..."  # in three dots, since the default font need not have the one character

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def overlay(
    image: Image.Image, weights: ArrayLike, *, opacity: float = 0.6, size: tuple[int, int] | None = None
) -> Image.Image:
    """Lay the attention of one word over a picture.

    The weights are divided by their largest, so that colours compare places within one word, not words.

    Args:
        image: The upright picture, RGB.
        weights: ``[rows, cols]`` weights, at least 0; cell (row, col) covers that part of the picture.
        opacity: How much colour covers the most attended place, from 0, the bare picture, to 1.
        size: Width and height of the result in pixels; that of the image if ``None``.

    Returns:
        A new RGB image.

    Raises:
        OptionError: If the weights are no grid of finite numbers >= 0, or the opacity is not in [0, 1].
    """
    if not 0 <= opacity <= 1:
        raise OptionError(f"opacity is {opacity}; it must be between 0 and 1")
    picture = image.convert("RGB")
    if size is not None and size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    heat = _heat(weights, picture.size)[:, :, None]  # [H, W, 1]
    cover = opacity * (VEIL + (1 - VEIL) * heat)
    mixed = np.asarray(picture) * (1 - cover) + _colour(heat[:, :, 0]) * cover
    return Image.fromarray(mixed.round().astype(np.uint8))


def _heat(weights: ArrayLike, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return ``[H, W]`` values in [0, 1]: the grid over its largest weight, smoothly enlarged."""
    grid = np.asarray(weights, dtype=np.float32)
    if grid.ndim != 2 or grid.size == 0:
        raise OptionError(f"attention weights have shape {grid.shape}; it must be [rows, cols]")
    if not (np.isfinite(grid).all() and grid.min() >= 0):
        raise OptionError("attention weights hold a negative or infinite number; all must be at least 0")
    peak = grid.max()
    cells = Image.fromarray(grid / peak if peak > 0 else grid)
    smooth = np.asarray(cells.resize(size, Image.Resampling.BICUBIC))
    return smooth.clip(0, 1)  # bicubic curves overshoot beside a peak


def _colour(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Look up ``[H, W]`` heat in the colour map; returns ``[H, W, 3]`` in [0, 255]."""
    stops = np.linspace(0, 1, len(COLOURS))
    steps = np.linspace(0, 1, 256)
    table = np.stack([np.interp(steps, stops, channel) for channel in zip(*COLOURS, strict=True)], axis=1)
    return table.astype(np.float32)[(heat * 255).round().astype(np.uint8)]


def contact_sheet(
    image: Image.Image, caption: Caption, *, columns: int = 4, tile: int = 320, opacity: float = 0.6
) -> Image.Image:
    """Draw a caption as pictures: the photo plain, then once per word with where the model looked.

    Under each tile stand the word and its probability given the words before it; the caption stands on top.

    Args:
        image: The upright picture, RGB.
        caption: A caption of it, with attention.
        columns: Most tiles side by side.
        tile: Width of a tile in pixels. The picture keeps its aspect; it is narrower if it would else be
            taller than 1.25 tiles.
        opacity: As in :func:`overlay`.

    Returns:
        A new RGB image.

    Raises:
        OptionError: If the caption has no attention or not one map per word, or an option is out of range.
    """
    if caption.attention is None:
        raise OptionError("the caption has no attention to draw; its model does not attend")
    if len(caption.attention) != len(caption.words):
        raise OptionError(f"the caption has {len(caption.words)} words but {len(caption.attention)} maps")
    if columns < 1 or not 32 <= tile <= 2048:
        raise OptionError(f"columns is {columns}, tile is {tile}; at least 1, and 32 to 2048 pixels, are allowed")
    layout = _layout(image.size, tile, len(caption.words) + 1, columns)
    sheet = _Sheet(layout, caption.text)
    picture = image.convert("RGB").resize(layout.picture, Image.Resampling.LANCZOS)
    sheet.add(picture)
    for word, weights in zip(caption.words, caption.attention, strict=True):
        sheet.add(overlay(picture, weights, opacity=opacity), word)
    return sheet.canvas


@dataclass(frozen=True)
class _Layout:
    """What stands where on a contact sheet, in pixels."""

    picture: tuple[int, int]  # width and height of one picture
    cell: int  # width of a column: that of a picture, or more under a narrow one so that words fit
    columns: int
    rows: int
    font_size: int  # of a word; all spaces follow from it

    @property
    def gap(self) -> int:
        return self.font_size

    @property
    def width(self) -> int:
        return self.gap + self.columns * (self.cell + self.gap)

    @property
    def pitch(self) -> int:
        """From the top of one row to the top of the next."""
        return self.picture[1] + round(2.8 * self.font_size)

    def corner(self, index: int) -> tuple[int, int]:
        """Return the left of a tile's column, and its top under the header."""
        row, col = divmod(index, self.columns)
        return self.gap + col * (self.cell + self.gap), row * self.pitch


def tile_picture(size: tuple[int, int], tile: int) -> tuple[int, int]:
    """Return the width and height in pixels that a picture of this size has on a contact sheet with such tiles.

    A sheet of a picture that was first resized to that is the same, so that none in full must wait to be drawn.
    """
    scale = min(WIDEST * tile / size[0], TALLEST * tile / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _layout(size: tuple[int, int], tile: int, tiles: int, columns: int) -> _Layout:
    picture = tile_picture(size, tile)
    columns = min(columns, tiles)
    return _Layout(
        picture=picture,
        cell=max(picture[0], tile // 2),
        columns=columns,
        rows=-(-tiles // columns),
        font_size=max(9, tile // 16),
    )


class _Sheet:
    """A page that is filled tile by tile, under a caption."""

    def __init__(self, layout: _Layout, title: str) -> None:
        self.layout = layout
        self.font = ImageFont.load_default(layout.font_size)
        self.small = ImageFont.load_default(round(0.8 * layout.font_size))
        self.tiles = 0
        title_size = round(1.4 * layout.font_size)
        title_font = ImageFont.load_default(title_size)
        lines = _wrap(title, title_font, layout.width - 2 * layout.gap)
        step = round(1.4 * title_size)
        self.header = layout.gap + len(lines) * step + layout.gap // 2
        self.canvas = Image.new("RGB", (layout.width, self.header + layout.rows * layout.pitch), PAPER)
        self.pen = ImageDraw.Draw(self.canvas)
        for row, line in enumerate(lines):
            self.pen.text((layout.gap, layout.gap + row * step), line, INK, title_font)

    def add(self, picture: Image.Image, word: Word | None = None) -> None:
        """Put a picture at the next place, with a word under it."""
        left, top = self.layout.corner(self.tiles)
        top += self.header
        self.tiles += 1
        centred = left + (self.layout.cell - picture.width) // 2
        self.canvas.paste(picture, (centred, top), _rounded(picture.size, self.layout.font_size // 2))
        if word is not None:
            self._label(word, left, top + picture.height + round(1.1 * self.layout.font_size))

    def _label(self, word: Word, left: int, middle: int) -> None:
        """Write a word and its probability in one line, centred under its tile as one."""
        share = f"{100 * math.exp(min(word.log_prob, 0.0)):.0f}%"
        space = self.layout.font_size // 2
        room = self.layout.cell - space - self.small.getlength(share)
        text = shorten(" ".join(word.text.split()), self.font, room)
        width = self.font.getlength(text)
        left += round((room - width) / 2)
        self.pen.text((left, middle), text, INK, self.font, anchor="lm")
        self.pen.text((left + width + space, middle), share, MUTED, self.small, anchor="lm")


def _rounded(size: tuple[int, int], radius: int) -> Image.Image:
    """Return a mask with rounded corners, drawn at four times the size so that they are smooth."""
    mask = Image.new("L", (4 * size[0], 4 * size[1]))
    box = (0, 0, mask.width - 1, mask.height - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, 4 * min(radius, *size), fill=255)
    return mask.resize(size, Image.Resampling.BOX)


def shorten(text: str, font: Font, room: float) -> str:
    """Cut a text with an ellipsis where it is wider than the room in pixels."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + ELLIPSIS) > room:
        text = text[:-1]
    return text + ELLIPSIS


def _wrap(text: str, font: Font, room: float) -> list[str]:
    """Break a text into lines that fit the room in pixels."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(shorten(word, font, room))
    return lines
