"""Shots: where one picture gives way to another, and which frames stand for what is between.

Two frames are compared as small pictures. A cut is where they differ by much, and by much more than frames close by do,
so that a camera that moves, or a flicker, is no cut. A slow fade from one picture to another is not found.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.clips.options import WatchOptions
from captioner.types import FloatArray

SIDE = 16  # of the small pictures
# The mean difference, of 255, up to which nothing is a cut. Of 40 photos of Flickr8k any two differed by at least 23;
# and successive views of each, when half of it was crossed in 30 steps, by at most 20.
CUT = 21.0
RATIO = 3.0  # and how many times the median difference near it that of a cut must be
NEAR = 0.4  # seconds, before and after: less than a shot lasts, so that slides are no flicker


@dataclass(frozen=True)
class Span:
    """Frames that belong together.

    Attributes:
        start: When the first one begins to be shown, in seconds.
        end: When the last one no longer is.
        chosen: The indices of those that stand for all.
    """

    start: float
    end: float
    chosen: tuple[int, ...]


@dataclass(frozen=True)
class Shot:
    """A part of a clip without a cut.

    Attributes:
        start: When it begins, in seconds.
        end: When it ends.
        times: When each of the frames begins to be shown.
        frames: Those of its frames that are looked at, at least one, RGB; none equals the one before it.
    """

    start: float
    end: float
    times: tuple[float, ...]
    frames: tuple[Image.Image, ...]


def thumbnail(image: Image.Image) -> NDArray[np.uint8]:
    """Return a picture small, ``[SIDE, SIDE, 3]``."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=1.5))


def find_spans(
    thumbnails: Sequence[NDArray[np.uint8]], starts: Sequence[float], end: float, options: WatchOptions
) -> list[Span]:
    """Part a clip into shots.

    Args:
        thumbnails: Each frame, by :func:`thumbnail`.
        starts: When each begins to be shown, in seconds.
        end: When the last one ends.
        options: How many shots, how long, and how many frames of each.
    """
    cuts = _cuts(_differences(thumbnails), starts, end, options)
    borders = [0, *cuts, len(starts)]
    times = [*starts, end]
    return [
        Span(times[first], times[last], _sample(times[first : last + 1], first, options.frames))
        for first, last in pairwise(borders)
    ]


def _differences(thumbnails: Sequence[NDArray[np.uint8]]) -> FloatArray:
    """Return the mean difference ``[F]`` of each frame from the one before it; 0 for the first."""
    stacked = np.stack(thumbnails).astype(np.float32)
    changes = np.abs(np.diff(stacked, axis=0)).mean(axis=(1, 2, 3))
    return np.concatenate([[np.float32(0)], changes]).astype(np.float32)


def _cuts(differences: FloatArray, starts: Sequence[float], end: float, options: WatchOptions) -> list[int]:
    """Return the indices of the frames with which a shot begins, but for the first frame."""
    times = np.asarray(starts)
    candidates = [i for i in range(1, len(times)) if differences[i] > _threshold(differences, times, i)]
    kept: list[int] = []
    for index in sorted(candidates, key=lambda one: (-differences[one], one)):
        borders = [0.0, end, *times[kept]]
        if len(kept) < options.max_shots - 1 and all(abs(times[index] - at) >= options.min_seconds for at in borders):
            kept.append(index)
    return sorted(kept)


def _threshold(differences: FloatArray, times: NDArray[np.float64], index: int) -> float:
    """Return how different a frame must be for a cut: by how much frames close to it are."""
    first = max(1, int(np.searchsorted(times, times[index] - NEAR)))
    last = int(np.searchsorted(times, times[index] + NEAR, side="right"))
    others = np.concatenate([differences[first:index], differences[index + 1 : last]])
    return max(CUT, RATIO * float(np.median(others))) if len(others) else CUT


def _sample(times: Sequence[float], first: int, count: int) -> tuple[int, ...]:
    """Return the frames shown in the middle of each of ``count`` equal parts, each once."""
    start, end = times[0], times[-1]
    moments = [start + (end - start) * (part + 0.5) / count for part in range(count)]
    shown = [first + min(bisect_right(times, moment), len(times) - 1) - 1 for moment in moments]
    return tuple(dict.fromkeys(shown))
