"""Video files, decoded by PyAV (FFmpeg), which need not be installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from typing import Any, NoReturn

from PIL import Image

from captioner.clips.options import ClipLimits
from captioner.clips.sources import Frame
from captioner.errors import ImageError, InvalidImageError, UnsupportedImageError

DECODERS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "libvpx", "libvpx-vp9", "av1")  # FFmpeg has hundreds more
MAX_STREAMS = 16
MISSING_END = 0.5  # seconds of a video that may be missing at its end
TYPICAL_FRAME = 0.04  # seconds
_TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


def video_format(data: bytes) -> str | None:
    """Return ``MP4`` or ``WEBM`` if a file looks like one of them, by its first bytes."""
    if data[4:8] == b"ftyp" and data[8:12] not in (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"):
        return "MP4"
    return "WEBM" if data.startswith(b"\x1a\x45\xdf\xa3") else None


class Video:
    """A video in an MP4 or WebM file.

    Args:
        data: The file.
        kind: ``MP4`` or ``WEBM``.
        limits: What it may be.

    Raises:
        UnsupportedImageError: If PyAV is not installed, or the video is of another coding.
        ImageError: If it is damaged or not allowed.
    """

    def __init__(self, data: bytes, kind: str, limits: ClipLimits) -> None:
        if not find_spec("av"):
            raise UnsupportedImageError(
                f"the clip is {kind}, which needs PyAV: pip install 'captioner[video]'; "
                "without it animated GIF, WebP and PNG are read"
            )
        self.format = kind
        self._data = data
        self._limits = limits
        with self._opened():  # which checks it
            pass

    def frames(self) -> Iterator[Frame]:
        """Decode the frames; each is shown until the next one is."""
        with self._opened() as (container, stream):
            shown: tuple[float, Image.Image] | None = None
            first, lasted = None, TYPICAL_FRAME
            for time, image in self._decoded(container, stream):
                first = time if first is None else first
                if shown is not None:
                    lasted = time - first - shown[0]
                    yield Frame(shown[0], time - first, shown[1])
                shown = time - first, image
            if shown is None:
                raise InvalidImageError(f"the {self.format} clip has no frames")
            end = shown[0] + lasted
            declared = _declared_seconds(container, stream)
            if end < declared - MISSING_END:
                raise InvalidImageError(
                    f"the {self.format} clip is truncated: it has {end:.1f} of {declared:.1f} seconds"
                )
            yield Frame(shown[0], end, shown[1])

    def _decoded(self, container: Any, stream: Any) -> Iterator[tuple[float, Image.Image]]:
        """Give each frame and its time, those that come before the one before them left out."""
        first, last = None, -1.0
        for count, frame in enumerate(container.decode(stream), start=1):
            self._limits.check_size(frame.width, frame.height)  # which may change on the way
            if frame.time is None:
                raise InvalidImageError(f"the {self.format} clip is damaged: a frame does not say when it is shown")
            first = frame.time if first is None else first
            self._limits.check_length(count, frame.time - first, frame.width * frame.height)
            if count == 1 or frame.time > last:
                last = frame.time
                yield frame.time, _upright(frame)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """Open the file, check what its header says, and give the container and its first video."""
        import av  # noqa: PLC0415 - it need not be installed

        try:
            with av.open(
                BytesIO(self._data),
                format="mov" if self.format == "MP4" else "matroska",  # and never what the bytes may ask for
                io_open=_refuse_files,
                container_options={"codec_whitelist": ",".join(DECODERS), "max_streams": str(MAX_STREAMS)},
            ) as container:
                yield container, self._checked(container)
        except ImageError:
            raise
        except Exception as error:  # whatever it is, the bytes caused it
            raise InvalidImageError(f"the {self.format} clip is truncated or damaged and cannot be decoded") from error

    def _checked(self, container: Any) -> Any:
        if not container.streams.video:
            raise UnsupportedImageError(f"the {self.format} file has no video")
        stream = container.streams.video[0]
        coding = stream.codec_context
        if coding is None or coding.name not in DECODERS:
            name = "unknown" if coding is None else coding.name
            raise UnsupportedImageError(f"the video's coding is {name}; it may be H.264, H.265, VP8, VP9 or AV1")
        self._limits.check_size(coding.width, coding.height)
        seconds = (container.duration or 0) / 1e6
        frames = max(stream.frames, int(seconds * float(stream.average_rate or 0) * 0.5))
        self._limits.check_length(frames, seconds, coding.width * coding.height)
        coding.thread_count = 1
        coding.options = {"max_pixels": str(self._limits.max_pixels)}
        return stream


def _declared_seconds(container: Any, stream: Any) -> float:
    """Return how long a video says that it is; 0 if it does not, or what it says may be of its sound."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def _refuse_files(url: str, *_: object) -> NoReturn:
    """Keep a file from naming others that would be read along with it."""
    raise PermissionError(url)


def _upright(frame: Any) -> Image.Image:
    image: Image.Image = frame.to_image()
    turn = _TURNS.get(round(getattr(frame, "rotation", 0)) % 360)
    return image if turn is None else image.transpose(turn)
