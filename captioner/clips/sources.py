"""Frames of a file, one after the other, as often as they are asked for, and what is known before they are decoded."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from typing import Protocol

from PIL import GifImagePlugin, Image, ImageFile, PngImagePlugin, WebPImagePlugin

from captioner.clips.options import ClipLimits
from captioner.errors import ImageError, InvalidImageError
from captioner.formats.animation import Timeline
from captioner.images import to_rgb

SHORTEST, USUAL = 10, 100  # ms: browsers show frames that would last no longer than the one for the other
_OPEN: Mapping[str, Callable[[BytesIO], ImageFile.ImageFile]] = {
    "GIF": GifImagePlugin.GifImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}


@dataclass(frozen=True)
class Frame:
    """One picture of a clip.

    Attributes:
        start: When it begins to be shown, in seconds.
        end: When it ends.
        image: The picture, RGB and upright.
    """

    start: float
    end: float
    image: Image.Image


class FrameSource(Protocol):
    """A clip whose header was read and found to be allowed."""

    @property
    def format(self) -> str:
        """Of its file."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Decode the frames, from the first one on.

        Raises:
            ImageError: If the file is damaged, or holds more than its header says and the limits allow.
        """
        ...


class Animation:
    """An animated GIF, WebP or PNG.

    Args:
        timeline: What the file says.
        limits: What it may be.

    Raises:
        ImageError: If it is not allowed.
    """

    def __init__(self, timeline: Timeline, limits: ClipLimits) -> None:
        limits.check_size(timeline.width, timeline.height)
        delays = [delay if delay > SHORTEST else USUAL for delay in timeline.delays]
        if not delays:
            raise InvalidImageError(f"the {timeline.format} clip has no frames")
        pixels = timeline.width * timeline.height
        limits.check_length(len(delays) + timeline.skipped, sum(delays) / 1000, pixels)
        self.format = timeline.format
        self._timeline = timeline
        self._limits = limits
        self._borders = [0.0, *(round(at) / 1000 for at in accumulate(delays))]

    def frames(self) -> Iterator[Frame]:
        """Decode the frames."""
        try:
            source = _OPEN[self.format](BytesIO(self._timeline.data))
            for index in range(len(self._borders) - 1):
                source.seek(index + self._timeline.skipped)
                source.load()
                self._limits.check_size(*source.size)  # a decoder may learn better
                yield Frame(self._borders[index], self._borders[index + 1], to_rgb(source))
        except ImageError:
            raise
        except Exception as error:  # decoders raise far more kinds than they document
            raise InvalidImageError(f"the {self.format} clip is truncated or damaged and cannot be decoded") from error
