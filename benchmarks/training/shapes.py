"""A captioned set that anyone can make: two coloured shapes, beside each other or above, and five sentences on them.

What is in a picture can be seen and said, so that a network learns it within minutes; and no photo has to be
fetched. For timing, captions can be given as many different words as real ones have, since an output layer's cost
is that of the vocabulary.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 215, 50),
    "white": (245, 245, 245),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle")
PLACES = {"above": (0, -1), "below": (0, 1), "left of": (-1, 0), "right of": (1, 0)}
SENTENCES = (
    "a {0} {1} {2} a {3} {4}",
    "a {0} {1} is {2} a {3} {4} .",
    "there is a {0} {1} {2} a {3} {4}",
    "the {0} {1} lies {2} the {3} {4}",
    "one {0} {1} and one {3} {4}",
)
SYLLABLES = tuple("".join(pair) for pair in product("bdfgklmnprstvz", "aeiou"))
GREY = (128, 132, 136)


@dataclass(frozen=True)
class Shapes:
    """How a set is made.

    Attributes:
        train: Pictures to learn from.
        val: Pictures to validate on.
        size: Pixels of a side.
        names: How many further words the captions have, one in each in turn; 0 leaves them as they are.
    """

    train: int
    val: int
    size: int = 128
    names: int = 0


def write_shapes(folder: Path, shapes: Shapes) -> None:
    """Draw a set into a folder: pictures in ``train`` and ``val``, captions in ``train.json`` and ``val.json``."""
    names = [name for name, _ in zip(_names(), range(shapes.names), strict=False)]
    for part, numbers in (("train", range(shapes.train)), ("val", range(shapes.train, shapes.train + shapes.val))):
        (folder / part).mkdir(parents=True)
        images, annotations = [], []
        for number in numbers:
            picture, captions = draw(number, shapes.size)
            picture.save(folder / part / f"{number}.jpg", quality=90)
            images.append({"id": number, "file_name": f"{number}.jpg"})
            for place, text in enumerate(captions):
                index = len(captions) * number + place
                named = f"{text} near {names[index % len(names)]}" if names else text
                annotations.append({"id": index, "image_id": number, "caption": named})
        content = json.dumps({"images": images, "annotations": annotations})
        (folder / f"{part}.json").write_text(content, encoding="utf-8")


def draw(number: int, size: int) -> tuple[Image.Image, list[str]]:
    """Return the picture of a number, the same each time, and its captions."""
    chance = Random(number)  # noqa: S311 - no secret is made
    (first, first_shape), (second, second_shape) = ((chance.choice([*COLOURS]), chance.choice(SHAPES)) for _ in "ab")
    place = chance.choice([*PLACES])
    right, down = PLACES[place]
    picture = Image.new("RGB", (size, size), GREY)
    for sign, colour, shape in ((1, first, first_shape), (-1, second, second_shape)):
        jitter = (chance.uniform(-0.05, 0.05) for _ in "xy")
        x, y = (0.5 + 0.24 * sign * way + shift for way, shift in zip((right, down), jitter, strict=True))
        _shape(ImageDraw.Draw(picture), shape, COLOURS[colour], (x * size, y * size), size * chance.uniform(0.13, 0.19))
    return picture, [text.format(first, first_shape, place, second, second_shape) for text in SENTENCES]


def _shape(
    drawing: ImageDraw.ImageDraw, shape: str, colour: tuple[int, int, int], centre: tuple[float, float], radius: float
) -> None:
    x, y = centre
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        drawing.ellipse(box, fill=colour)
    elif shape == "square":
        drawing.rectangle(box, fill=colour)
    else:
        drawing.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=colour)


def _names() -> Iterator[str]:
    """Yield words that no caption has, each of three syllables, all different."""
    return ("".join(parts) for parts in product(SYLLABLES, repeat=3))
