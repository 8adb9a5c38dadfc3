"""Clips that tests make for themselves."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
from PIL import Image


def animation(frames: Sequence[Image.Image], delays: Sequence[int], kind: str = "WEBP", **options: Any) -> bytes:
    """Return frames, each shown for so many milliseconds, as a file that loses nothing (but a GIF, its colours)."""
    file = io.BytesIO()
    more = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=list(delays), **{**more, **options})
    return file.getvalue()


def video(frames: Sequence[Image.Image], container: str = "mp4", codec: str = "libx264", rate: int = 10) -> bytes:
    """Return frames as a video."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=Fraction(rate))
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_image(frame)))
        out.mux(stream.encode())
    return file.getvalue()
