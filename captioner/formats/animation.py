"""Animated GIF, WebP and PNG: their size and how long each frame is shown, read without decoding a pixel."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from captioner.errors import InvalidImageError
from captioner.formats.png import PngChunk, png_chunks

MAX_BLOCKS = 500_000  # of a GIF, which are of 255 bytes in files that a program meant to be small
_GIF_HEADER, _RIFF_HEADER = 13, 12
_PNG_KINDS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"IDAT", b"fdAT", b"IEND"))


@dataclass(frozen=True)
class Timeline:
    """What a file of frames says of itself.

    Attributes:
        format: ``GIF``, ``WEBP`` or ``PNG``.
        width: Of all frames, in pixels; parts of frames that lie outside of what the header says count, too.
        height: Theirs.
        delays: For how many milliseconds each frame is shown, as the file has it.
        data: The file without what its frames do not need.
        skipped: Pictures before the first frame that do not belong to the animation.
    """

    format: str
    width: int
    height: int
    delays: tuple[float, ...]
    data: bytes
    skipped: int = 0


def read_timeline(data: bytes) -> Timeline | None:
    """Return what a file says of its frames; ``None`` if it is no GIF, and no WebP or PNG that moves.

    Raises:
        InvalidImageError: If it is one, but truncated or damaged.
    """
    for kind, begins, read in (
        ("GIF", data.startswith((b"GIF87a", b"GIF89a")), _read_gif),
        ("WEBP", data[:4] == b"RIFF" and data[8:12] == b"WEBP", _read_webp),
        ("PNG", data.startswith(b"\x89PNG\r\n\x1a\n"), _read_png),
    ):
        if begins:
            try:
                return read(data)
            except (IndexError, struct.error):
                raise InvalidImageError(f"the {kind} clip is truncated: it ends within a frame") from None
    return None


def _read_gif(data: bytes) -> Timeline:
    width, height = struct.unpack_from("<HH", data, 6)
    blocks = _GifBlocks(data)
    delay, delays = 0, []
    for kind, at in blocks:
        if kind == 0xF9:
            (delay,) = struct.unpack_from("<H", data, at + 4)
        elif kind == 0x2C:
            left, top, wide, high = struct.unpack_from("<HHHH", data, at + 1)
            width, height = max(width, left + wide), max(height, top + high)  # as decoders enlarge the canvas
            delays.append(10.0 * delay)
            delay = 0
    return Timeline("GIF", width, height, tuple(delays), data)


class _GifBlocks:
    """Gives the kind of each extension (its label) and image (0x2C), and where it begins."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.count = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        data, at = self.data, _GIF_HEADER + _palette(self.data[10])
        while at < len(data) and data[at] != 0x3B:
            start = at
            if data[at] == 0x21:
                at = self._after(at + 2)
                yield data[start + 1], start
            elif data[at] == 0x2C:
                at = self._after(at + 11 + _palette(data[at + 9]))
                yield 0x2C, start
            else:
                at += 1  # decoders skip stray bytes

    def _after(self, at: int) -> int:
        """Return where a chain of blocks ends."""
        while size := self.data[at]:
            at += size + 1
            self.count += 1
            if self.count > MAX_BLOCKS:
                raise InvalidImageError(f"the GIF clip has more than {MAX_BLOCKS} blocks, which is what is allowed")
        return at + 1


def _palette(flags: int) -> int:
    return int(3 * 2 ** ((flags & 7) + 1)) if flags & 0x80 else 0


def _read_webp(data: bytes) -> Timeline | None:
    at, size, delays = _RIFF_HEADER, (0, 0), list[float]()
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > len(data):
            raise IndexError(kind)
        if kind == b"VP8X":
            size = _three_bytes(data, at + 12) + 1, _three_bytes(data, at + 15) + 1
        elif kind == b"ANMF":
            delays.append(float(_three_bytes(data, at + 20)))
        at += 8 + length + length % 2
    if not delays:
        return None
    if at < len(data) or at < 8 + struct.unpack_from("<I", data, 4)[0]:
        raise IndexError(at)
    return Timeline("WEBP", *size, tuple(delays), data)


def _three_bytes(data: bytes, at: int) -> int:
    low, high = struct.unpack_from("<HB", data, at)
    return int(low + (high << 16))


def _read_png(data: bytes) -> Timeline | None:
    chunks = [chunk for chunk in png_chunks(data) if chunk.kind in _PNG_KINDS]
    kinds = [chunk.kind for chunk in chunks]
    if b"acTL" not in kinds:
        return None
    if kinds[0] != b"IHDR" or kinds[-1] != b"IEND" or chunks[-1].end > len(data):
        raise IndexError(kinds[-1])
    controls = [chunk for chunk in chunks if chunk.kind == b"fcTL"]
    (count,) = struct.unpack_from(">I", data, chunks[kinds.index(b"acTL")].body)
    if count != len(controls) or kinds.count(b"acTL") != 1:
        raise InvalidImageError(f"the PNG clip is damaged: it tells of {count} frames and has {len(controls)}")
    begins_moving = b"fcTL" in kinds and b"IDAT" in kinds and kinds.index(b"fcTL") < kinds.index(b"IDAT")
    width, height = struct.unpack_from(">II", data, chunks[0].body)
    kept = data[:8] + b"".join(data[chunk.start : chunk.end] for chunk in chunks)
    return Timeline("PNG", width, height, tuple(_png_delay(data, one) for one in controls), kept, 1 - begins_moving)


def _png_delay(data: bytes, control: PngChunk) -> float:
    above, below = struct.unpack_from(">HH", data, control.body + 20)
    return float(1000 * above / (below or 100))
