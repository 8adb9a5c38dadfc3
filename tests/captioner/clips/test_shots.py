"""Shots: cuts between pictures are found, movement is none, and frames stand evenly for what is between."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from captioner.clips import WatchOptions, read_clip
from captioner.clips.shots import find_spans, thumbnail
from captioner.errors import OptionError
from tests.support.clips import animation
from tests.support.pictures import noise_image

OPTIONS = WatchOptions()


def drawing(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """A scene: a sky, some hills, a sun."""
    numbers = np.random.default_rng(seed)
    colours = [tuple(int(value) for value in numbers.integers(0, 256, 3)) for _ in range(3)]
    image = Image.new("RGB", size, colours[0])
    pen = ImageDraw.Draw(image)
    hills = [(x, int(numbers.integers(30, 70))) for x in range(0, 121, 20)]
    pen.polygon([(0, 90), *hills, (120, 90)], colours[1])
    pen.ellipse((10, 10, 40, 40), colours[2])
    return image


def spans_of(frames: list[Image.Image], seconds: float = 0.1, options: WatchOptions = OPTIONS):  # type: ignore[no-untyped-def]
    starts = [index * seconds for index in range(len(frames))]
    return find_spans([thumbnail(frame) for frame in frames], starts, len(frames) * seconds, options)


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF"])
def test_two_pictures_are_two_shots_at_their_times(kind: str) -> None:
    clip = read_clip(animation([drawing(1), drawing(2)], [1500, 700], kind))
    assert [(shot.start, shot.end, shot.times) for shot in clip.shots] == [(0, 1.5, (0,)), (1.5, 2.2, (1.5,))]
    assert (clip.width, clip.height, clip.format, clip.seconds, clip.count) == (120, 90, kind, 2.2, 2)
    if kind != "GIF":
        for shot, seed in zip(clip.shots, (1, 2), strict=True):
            assert shot.frames[0].tobytes() == drawing(seed).tobytes()


def test_a_camera_that_moves_does_not_cut() -> None:
    wide = drawing(3, (360, 90)).resize((360, 90))
    pan = [wide.crop((x, 0, x + 120, 90)) for x in range(0, 240, 8)]
    assert len(spans_of([*pan, *[drawing(4)] * 10])) == 2


def test_a_flicker_is_no_cut_but_slides_are() -> None:
    slides = [drawing(seed) for seed in range(5, 11)]
    assert len(spans_of(slides, 0.1)) == 1
    assert len(spans_of(slides, 1.0)) == 6


def test_a_short_flash_belongs_to_its_shot() -> None:
    assert len(spans_of([*[drawing(1)] * 10, *[drawing(2)] * 3, *[drawing(1)] * 10])) <= 2
    [span] = spans_of([*[drawing(1)] * 10, *[drawing(2)] * 3])
    assert (span.start, span.end) == (0, pytest.approx(1.3))


def test_of_too_many_shots_the_most_different_are_parted() -> None:
    grey = [Image.new("RGB", (60, 60), (value,) * 3) for value in (0, 40, 200, 230)]
    spans = spans_of([frame for frame in grey for _ in range(10)], options=WatchOptions(max_shots=2))
    assert [span.start for span in spans] == [0, pytest.approx(2.0)]
    assert len(spans_of([frame for frame in grey for _ in range(10)])) == 4


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_frames_stand_evenly_for_a_shot(count: int) -> None:
    frames = [drawing(1)] * 40
    [span] = spans_of(frames, options=WatchOptions(frames=count))
    middles = [(part + 0.5) / count * 40 for part in range(count)]
    assert np.abs(np.array(span.chosen) + 0.5 - middles).max() <= 0.51
    assert len(set(span.chosen)) == count


def test_frames_that_show_nothing_new_are_left_out() -> None:
    still = read_clip(animation([noise_image(1)] * 3, [500] * 3, "PNG", disposal=1))
    assert [len(shot.frames) for shot in still.shots] == [1]


@pytest.mark.parametrize("wrong", [{"max_shots": 0}, {"frames": 9}, {"min_seconds": -1}])
def test_options_are_checked(wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="it must be between"):
        WatchOptions(**wrong)
