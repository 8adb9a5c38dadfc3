"""The set of shapes: captions say what is drawn, and it is the same each time."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.training.shapes import COLOURS, GREY, PLACES, SENTENCES, Shapes, draw, write_shapes
from captioner.images import read_image
from training.data import load_captioned_images


def centre(pixels: np.ndarray, colour: str) -> np.ndarray:
    """Return the middle of what has a colour, as (x, y)."""
    where = (np.abs(pixels - np.array(COLOURS[colour])).sum(axis=2) == 0).nonzero()
    return np.array([where[1].mean(), where[0].mean()])


def test_captions_say_what_is_drawn() -> None:
    seen = set()
    for number in range(60):
        picture, captions = draw(number, 96)
        _, first, _, *place, _, second, _ = captions[0].split()
        pixels = np.array(picture, dtype=int)
        assert tuple(pixels[0, 0]) == GREY
        if first == second:
            continue
        apart = centre(pixels, first) - centre(pixels, second)
        right, down = PLACES[" ".join(place)]
        assert apart @ np.array([right, down]) > 10
        seen.add((" ".join(place), first))
    assert {place for place, _ in seen} == set(PLACES)
    assert {colour for _, colour in seen} == set(COLOURS)


def test_a_number_gives_the_same_picture() -> None:
    (one, captions), (again, others), (other, _) = (draw(number, 64) for number in (3, 3, 4))
    assert one.tobytes() == again.tobytes() != other.tobytes()
    assert captions == others
    assert len(set(captions)) == len(SENTENCES)


@pytest.mark.parametrize("names", [0, 7, 30])
def test_a_set_is_written_in_coco_s_format_with_as_many_words_as_asked_for(tmp_path: Path, names: int) -> None:
    write_shapes(tmp_path, Shapes(train=6, val=2, size=32, names=names))
    images = load_captioned_images(tmp_path / "train.json", tmp_path / "train")
    assert len(images) == 6
    assert all(len(image.captions) == len(SENTENCES) for image in images)
    assert read_image(images[0].path.read_bytes()).size == (32, 32)
    assert len(json.loads((tmp_path / "val.json").read_text())["images"]) == 2
    added = {text.rpartition(" near ")[2] for image in images for text in image.captions if " near " in text}
    assert len(added) == names
