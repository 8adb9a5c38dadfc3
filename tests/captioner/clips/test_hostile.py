"""Hostile clips: headers are checked before a pixel is decoded, and what is broken is told in a sentence."""

import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from captioner.clips import ClipLimits, read_clip
from captioner.clips.reading import open_clip
from captioner.clips.video import Video
from captioner.errors import ImageError, ImageTooLargeError, InvalidImageError, OptionError, UnsupportedImageError
from tests.support.clips import animation, video
from tests.support.pictures import noise_image

FRAMES = [noise_image(seed, 64, 48) for seed in range(4)]
CLIPS: dict[str, Callable[[], bytes]] = {
    "GIF": lambda: animation(FRAMES, [500] * 4, "GIF"),
    "WEBP": lambda: animation(FRAMES, [500] * 4, "WEBP"),
    "PNG": lambda: animation(FRAMES, [500] * 4, "PNG"),
    "MP4": lambda: video([frame for frame in FRAMES for _ in range(5)]),
    "WEBM": lambda: video([frame for frame in FRAMES for _ in range(5)], "webm", "libvpx-vp9"),
}


@pytest.fixture(scope="module", params=list(CLIPS))
def clip(request: pytest.FixtureRequest) -> bytes:
    return CLIPS[request.param]()


def gif(frames: int, size: tuple[int, int] = (64, 48), delay: int = 50) -> bytes:
    """A GIF of many frames of one pixel each, which takes 40 bytes a frame."""
    frame = struct.pack("<4BHBB", 0x21, 0xF9, 4, 0, delay, 0, 0) + struct.pack("<B4HB", 0x2C, 0, 0, 1, 1, 0)
    frame += b"\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<2H3B", *size, 0x80, 0, 0) + bytes(6)
    return head + frames * frame + b";"


def test_each_is_read(clip: bytes) -> None:
    read = read_clip(clip)
    assert read.seconds == pytest.approx(2.0, abs=0.05)
    assert (read.width, read.height) == (64, 48)
    assert len(read.shots) >= 2


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_frames": 3}, "frames; at most 3"),
        ({"max_seconds": 1.5}, "seconds; at most 1.5"),
        ({"max_pixels": 3071}, "64 x 48 pixels; at most 3071"),
        ({"max_total_pixels": 9000}, "at most 9000"),
        ({"max_bytes": 100}, "MiB; at most"),
    ],
)
def test_limits_hold(clip: bytes, limits: dict[str, float], said: str) -> None:
    with pytest.raises(ImageTooLargeError, match=said):
        read_clip(clip, limits=ClipLimits(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gif(6000), "6000 frames; at most 5000"),
        (gif(100, (1500, 1500), 10), None),
        (gif(400, (1500, 1500), 10), "400 frames of 2250000 pixels"),
        (gif(2, (65535, 65535)), "65535 x 65535 pixels"),
        (gif(4, delay=65535), "lasts 2621.4 seconds"),
        (gif(0), "no frames"),
        (gif(3, (4, 4)), "at least 8"),
        (b"", "0 bytes"),
    ],
)
def test_headers_are_enough_to_refuse(data: bytes, said: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("a pixel was decoded"))
    if said is None:
        open_clip(data)
        return
    with pytest.raises(ImageError, match=said) as caught:
        open_clip(data)
    assert "\n" not in str(caught.value)


def test_a_frame_beyond_the_canvas_counts() -> None:
    data = bytearray(gif(2))
    at = data.index(b"\x2c")
    struct.pack_into("<4H", data, at + 1, 30000, 30000, 5, 5)
    with pytest.raises(ImageTooLargeError, match="30005 x 30005"):
        open_clip(bytes(data))


def test_a_gif_of_tiny_blocks_is_refused_early() -> None:
    comment = b"\x21\xfe" + 600_000 * b"\x01a" + b"\x00"
    with pytest.raises(InvalidImageError, match="more than 500000 blocks"):
        open_clip(gif(1)[:-1] + comment + b";")


def test_frames_that_last_no_time_last_as_in_browsers() -> None:
    assert read_clip(gif(5, delay=0)).seconds == pytest.approx(0.5)


def test_truncated_and_damaged_clips_are_refused_or_read(clip: bytes) -> None:
    step = max(1, len(clip) // 20)
    truncated = [_told(clip[:cut]) for cut in range(0, len(clip) - 1, step)]
    assert len([said for said in truncated if said]) >= 14
    harmed = [_told(clip[:at] + bytes([clip[at] ^ 0xFF]) + clip[at + 1 :]) for at in range(0, len(clip), step)]
    assert not any("\n" in said for said in truncated + harmed)


def _told(data: bytes) -> str:
    """Return why a clip is refused, or an empty text if it is not."""
    try:
        read_clip(data)
    except ImageError as error:
        return str(error)
    return ""


def test_a_png_that_tells_of_other_frames_than_it_has_is_refused() -> None:
    data = bytearray(CLIPS["PNG"]())
    at = data.index(b"acTL")
    struct.pack_into(">I", data, at + 4, 7)
    struct.pack_into(">I", data, at + 12, zlib.crc32(data[at : at + 12]))
    with pytest.raises(InvalidImageError, match="tells of 7 frames and has 4"):
        open_clip(bytes(data))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_photo_is_no_clip(kind: str) -> None:
    with pytest.raises(UnsupportedImageError, match="no moving picture"):
        open_clip(animation(FRAMES[:1], [100], kind))


def test_a_coding_of_another_kind_is_refused() -> None:
    with pytest.raises(UnsupportedImageError, match=r"coding is mpeg4; it may be H\.264"):
        open_clip(video(FRAMES, codec="mpeg4"))


def test_without_pyav_videos_are_refused_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("captioner.clips.video.find_spec", lambda _: None)
    with pytest.raises(UnsupportedImageError, match=r"pip install 'captioner\[video\]'"):
        open_clip(CLIPS["MP4"]())
    assert open_clip(CLIPS["GIF"]()).format == "GIF"


def test_a_video_that_claims_less_than_it_has_is_stopped_on_its_way() -> None:
    limits = ClipLimits()
    source = Video(CLIPS["WEBM"](), "WEBM", limits)
    object.__setattr__(limits, "max_frames", 9)
    with pytest.raises(ImageTooLargeError, match="10 frames; at most 9"):
        list(source.frames())


def test_limits_are_checked() -> None:
    with pytest.raises(OptionError, match="max_frames is 0"):
        ClipLimits(max_frames=0)
