"""PNG files, chunk by chunk: text, profiles and animation are left out before a decoder would inflate them."""

import binascii
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from captioner.errors import InvalidImageError
from captioner.formats.metadata import MAX_BLOCK_BYTES, MAX_BLOCKS, Needed

MAX_CHUNKS = 100_000  # photos have some thousands, of 8 KiB each
_SIGNATURE = 8
_FRAME = 12  # bytes of a chunk around its body: length, kind and checksum
_RAW_PROFILES = (b"Raw profile type exif", b"Raw profile type APP1", b"Raw profile type xmp")  # ImageMagick's
_XMP = b"XML:com.adobe.xmp"
_RAW_PROFILE = re.compile(
    rb"\s*\S{1,20}\s+\d{1,10}\s+([0-9A-Fa-f\s]*)"
)  # a name, a length, and the bytes in hexadecimal


@dataclass(frozen=True)
class PngChunk:
    """A chunk of a file: its kind, and where it, its body and what follows it begin."""

    kind: bytes
    start: int
    body: int
    end: int


@dataclass
class _Metadata:
    """Blocks of metadata, by how far they are to be trusted."""

    exif: list[bytes] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    xmp: list[bytes] = field(default_factory=list)


def needed_of_png(data: bytes) -> Needed:
    """Return what of a PNG file its picture needs: the critical chunks, and what tells which colour is transparent.

    Of text only what may hold an orientation is inflated, and of that only the beginning.

    Raises:
        InvalidImageError: If there are too many chunks.
    """
    pieces, metadata, image_began = [data[:_SIGNATURE]], _Metadata(), False
    for chunk in png_chunks(data):
        image_began = image_began or chunk.kind == b"IDAT"
        if _is_needed(data, chunk, image_began):
            pieces.append(data[chunk.start : chunk.end])
        elif chunk.end <= len(data):
            _note(metadata, data, chunk)
    return Needed(b"".join(pieces), [*metadata.exif, *metadata.raw, *metadata.xmp])


def png_chunks(data: bytes) -> Iterator[PngChunk]:
    """Give each chunk up to the last one, or to where the file stops being PNG."""
    start = _SIGNATURE
    for _ in range(MAX_CHUNKS):
        if start + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, start)
        if not kind.isalpha():
            return
        end = start + _FRAME + length
        yield PngChunk(kind, start, start + 8, end)
        if kind == b"IEND":
            return
        start = end
    raise InvalidImageError(f"the PNG image has more than {MAX_CHUNKS} chunks, which is what is allowed")


def _is_needed(data: bytes, chunk: PngChunk, image_began: bool) -> bool:
    if image_began:
        return chunk.kind in (b"IDAT", b"IEND")
    if chunk.kind == b"tRNS":
        return _is_sound(data, chunk)
    return chunk.kind[:1].isupper()  # a critical chunk, by the specification's rule


def _is_sound(data: bytes, chunk: PngChunk) -> bool:
    """Return whether a chunk is what its checksum says."""
    checksum = int.from_bytes(data[chunk.end - 4 : chunk.end], "big")
    return zlib.crc32(data[chunk.start + 4 : chunk.end - 4]) == checksum


def _note(metadata: _Metadata, data: bytes, chunk: PngChunk) -> None:
    body = data[chunk.body : min(chunk.end - 4, chunk.body + MAX_BLOCK_BYTES)]
    if chunk.kind == b"eXIf" and len(metadata.exif) < MAX_BLOCKS:
        metadata.exif.append(body)
    if chunk.kind not in (b"tEXt", b"zTXt", b"iTXt"):
        return
    keyword, _, rest = body.partition(b"\0")
    blocks = metadata.raw if keyword in _RAW_PROFILES else metadata.xmp if keyword == _XMP else None
    if blocks is None or len(blocks) == MAX_BLOCKS:  # which is not even inflated
        return
    text = _text(chunk.kind, rest)
    blocks.append(_bytes_of_profile(text) if keyword in _RAW_PROFILES else text)


def _text(kind: bytes, rest: bytes) -> bytes:
    """Return the beginning of a text, from what follows its keyword."""
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflate(rest[1:])
    text = rest[2:].split(b"\0", 2)[-1]  # after flag, method, language and the translated keyword
    return _inflate(text) if rest[:1] == b"\1" else text


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_BLOCK_BYTES)
    except zlib.error:
        return b""


def _bytes_of_profile(text: bytes) -> bytes:
    found = _RAW_PROFILE.match(text)
    digits = b"".join(found[1].split()) if found else b""
    return binascii.unhexlify(digits[: len(digits) // 2 * 2])
