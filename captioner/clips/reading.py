"""From a file to shots: the clip is decoded once to find them, and again, as far as needed, for the frames of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from captioner.clips.options import DEFAULT_CLIP_LIMITS, DEFAULT_WATCH_OPTIONS, ClipLimits, WatchOptions
from captioner.clips.shots import Shot, Span, find_spans, thumbnail
from captioner.clips.sources import Animation, FrameSource
from captioner.clips.video import Video, video_format
from captioner.errors import InvalidImageError, UnsupportedImageError
from captioner.formats.animation import read_timeline

FORMATS = ("GIF", "WEBP", "PNG", "MP4", "WEBM")


@dataclass(frozen=True)
class Clip:
    """A moving picture that was read.

    Attributes:
        width: Of its frames in pixels, upright.
        height: Theirs.
        format: Of its file, one of ``FORMATS``.
        seconds: How long it lasts.
        count: How many frames it has.
        shots: Its parts, in their order.
    """

    width: int
    height: int
    format: str
    seconds: float
    count: int
    shots: tuple[Shot, ...]


def read_clip(
    data: bytes,
    options: WatchOptions = DEFAULT_WATCH_OPTIONS,
    limits: ClipLimits = DEFAULT_CLIP_LIMITS,
    shrink: Callable[[Image.Image], Image.Image] = Image.Image.copy,
) -> Clip:
    """Read an upload as shots.

    Args:
        data: The whole file: an animated GIF, WebP or PNG, or with PyAV installed an MP4 or WebM.
        options: How to part it, and how many frames to take of each shot.
        limits: What it may be; what its header says is checked before any pixel is decoded.
        shrink: Makes each frame that is kept smaller, such as ``predictor.prepare``: those of long clips in full would
            take gigabytes.

    Raises:
        UnsupportedImageError: If the bytes are no moving picture of a supported format, or PyAV is needed.
        ImageTooLargeError: If it has more bytes, frames, seconds or pixels than ``limits`` allow.
        InvalidImageError: If it is empty, truncated or damaged, or too small or elongated.
    """
    source = open_clip(data, limits)
    thumbnails, starts, size, end = [], [], (0, 0), 0.0
    for frame in source.frames():
        thumbnails.append(thumbnail(frame.image))
        starts.append(frame.start)
        size, end = size if starts[1:] else frame.image.size, frame.end
    spans = find_spans(thumbnails, starts, end, options)
    wanted = {index for span in spans for index in span.chosen}
    frames = _take(source, wanted, shrink)
    if len(frames) < len(wanted):
        raise InvalidImageError(f"the {source.format} clip is damaged: it differs each time it is read")
    shots = tuple(_shot(span, starts, frames) for span in spans)
    return Clip(*size, source.format, end, len(starts), shots)


def open_clip(data: bytes, limits: ClipLimits = DEFAULT_CLIP_LIMITS) -> FrameSource:
    """Read what a file says of itself; it raises what :func:`read_clip` does."""
    limits.check_bytes(data)
    timeline = read_timeline(data)
    if timeline is not None:
        return Animation(timeline, limits)
    kind = video_format(data)
    if kind is not None:
        return Video(data, kind, limits)
    raise UnsupportedImageError(
        "the file is no moving picture; allowed are animated GIF, WebP and PNG, and with PyAV installed MP4 and WebM"
    )


def _take(
    source: FrameSource, wanted: set[int], shrink: Callable[[Image.Image], Image.Image]
) -> dict[int, Image.Image]:
    """Return some frames by their index, and decode no further than the last of them."""
    found, last = {}, max(wanted)
    for index, frame in enumerate(source.frames()):
        if index in wanted:
            found[index] = shrink(frame.image)
        if index == last:
            break
    return found


def _shot(span: Span, starts: Sequence[float], frames: dict[int, Image.Image]) -> Shot:
    kept: list[int] = []
    for index in span.chosen:
        if not kept or frames[index].tobytes() != frames[kept[-1]].tobytes():  # else it shows nothing new
            kept.append(index)
    return Shot(span.start, span.end, tuple(starts[i] for i in kept), tuple(frames[i] for i in kept))
