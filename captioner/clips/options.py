"""What a clip may be, and how it is watched."""

from dataclasses import dataclass
from typing import Annotated

from captioner.errors import ImageTooLargeError, InvalidImageError, OptionError
from captioner.ranges import Range, check_ranges

MEBIBYTE = 2**20


@dataclass(frozen=True)
class ClipLimits:
    """What an uploaded clip may be.

    Attributes:
        max_bytes: Most bytes of the file.
        max_seconds: How long it may last.
        max_frames: Most frames.
        max_pixels: Most pixels of a frame, width times height.
        max_total_pixels: Most pixels of all frames together, which bound the time of decoding them.
        min_side: Shortest side in pixels.
        max_aspect: How many times longer than the short side the long side may be.
    """

    max_bytes: Annotated[int, Range(1)] = 20 * MEBIBYTE
    max_seconds: Annotated[float, Range(0, above=True)] = 180
    max_frames: Annotated[int, Range(1)] = 5000
    max_pixels: Annotated[int, Range(1)] = 2_500_000
    max_total_pixels: Annotated[int, Range(1)] = 500_000_000
    min_side: Annotated[int, Range(1)] = 8
    max_aspect: Annotated[float, Range(1)] = 50

    def __post_init__(self) -> None:
        check_ranges(self, error=OptionError)

    def check_bytes(self, data: bytes) -> None:
        """Make sure that a file is neither empty nor too large.

        Raises:
            InvalidImageError: If it is empty.
            ImageTooLargeError: If it is too large.
        """
        if not data:
            raise InvalidImageError("the clip is empty: it has 0 bytes")
        if len(data) > self.max_bytes:
            size, allowed = len(data) / MEBIBYTE, self.max_bytes / MEBIBYTE
            raise ImageTooLargeError(f"the clip has {size:.2f} MiB; at most {allowed:.2f} MiB are allowed")

    def check_size(self, width: int, height: int) -> None:
        """Make sure that frames have an allowed size.

        Raises:
            InvalidImageError: If they are too small or elongated.
            ImageTooLargeError: If they have too many pixels.
        """
        short, long = sorted((width, height))
        given = f"the clip is {width} x {height} pixels"
        if short * long > self.max_pixels:
            raise ImageTooLargeError(f"{given}; at most {self.max_pixels} in all are allowed")
        if short < self.min_side:
            raise InvalidImageError(f"{given}; at least {self.min_side} on a side are needed")
        if long > self.max_aspect * short:
            raise InvalidImageError(f"{given}; a side may be at most {self.max_aspect:g} times the other")

    def check_length(self, frames: int, seconds: float, pixels: int) -> None:
        """Make sure that there are not too many frames, of so many pixels each, and that they do not last too long.

        Raises:
            ImageTooLargeError: If there are, or they do.
        """
        if frames > self.max_frames:
            raise ImageTooLargeError(f"the clip has {frames} frames; at most {self.max_frames} are allowed")
        if seconds > self.max_seconds:
            raise ImageTooLargeError(f"the clip lasts {seconds:.1f} seconds; at most {self.max_seconds:g} are allowed")
        if frames * pixels > self.max_total_pixels:
            raise ImageTooLargeError(
                f"the clip has {frames} frames of {pixels} pixels; "
                f"at most {self.max_total_pixels} in all frames together are allowed"
            )


DEFAULT_CLIP_LIMITS = ClipLimits()


@dataclass(frozen=True)
class WatchOptions:
    """How a clip is watched.

    Attributes:
        max_shots: Most shots; of more, those are parted that differ most.
        frames: Most frames of a shot that are looked at.
        min_seconds: How long a shot lasts at least; what is shorter belongs to the one before it.
    """

    max_shots: Annotated[int, Range(1, 64)] = 16
    frames: Annotated[int, Range(1, 8)] = 4
    min_seconds: Annotated[float, Range(0, 60)] = 0.5

    def __post_init__(self) -> None:
        check_ranges(self, error=OptionError)


DEFAULT_WATCH_OPTIONS = WatchOptions()
