"""JPEG files, segment by segment up to the end of the picture; what follows it, such as a phone's video, is left alone.

The markers are those of ITU-T T.81, table B.1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from PIL import JpegImagePlugin

from captioner.errors import InvalidImageError
from captioner.formats.metadata import MAX_BLOCKS, Needed

MAX_SCANS = 64  # a progressive photo has about ten, and each may cost a pass over all pixels
MAX_SEGMENTS = 4096  # a photo has tens, one with large metadata some hundreds of 64 KiB each

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # not stuffed bytes and restarts, which coded data may hold
_START, _END, _SCAN, _APP1 = 0xD8, 0xD9, 0xDA, 0xE1
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCALABLE = frozenset((0xC0, 0xC1, 0xC2))  # blocks of cosines, whose high frequencies can be left out
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_NOT_NEEDED = frozenset((*range(0xE1, 0xEE), 0xEF, 0xFE))  # APP0 and APP14 tell the colours
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_COEFFICIENTS = range(64)


class JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's JPEG reader, without its look for a resolution in EXIF, which warns when the EXIF is damaged.

    Used directly, it also reads the first picture of an MPO as the JPEG that it is.
    """

    def _read_dpi_from_exif(self) -> None:
        pass


@dataclass
class _Segments:
    """What a walk over a file found.

    Attributes:
        pieces: The parts of the file that are needed.
        frame: The marker and the body of the frame's header.
        scans: The body of each scan's header.
        exif: The first blocks of EXIF.
        xmp: The first blocks of XMP.
        is_whole: Whether the walk came to the end marker.
        is_cut: Whether the file ends within a segment.
    """

    pieces: list[bytes] = field(default_factory=list)
    frame: tuple[int, bytes] = (0, b"")
    scans: list[bytes] = field(default_factory=list)
    exif: list[bytes] = field(default_factory=list)
    xmp: list[bytes] = field(default_factory=list)
    is_whole: bool = False
    is_cut: bool = False


def needed_of_jpeg(data: bytes) -> Needed:
    """Return what of a JPEG file its picture needs: neither comments and metadata, nor what follows it.

    A file without an end marker gets one, if all scans that its picture needs have begun; whether the last of them is
    all there, its pixels must show (see :class:`Needed`): all of them, so that it is not scalable.

    Raises:
        InvalidImageError: If there are too many scans or segments, or scans are missing.
    """
    found = _walk(data)
    metadata = [*found.exif, *found.xmp]
    kept = b"".join(found.pieces)
    if found.is_whole:
        return Needed(kept, metadata, scalable=found.frame[0] in _SCALABLE)
    if found.is_cut or not _all_scans_began(found):
        raise InvalidImageError("the JPEG image is truncated: not all of its scans are there")
    kept = _without_filling(kept)
    return Needed(kept + b"\xff\xd9", metadata, kept + _more_coded_data() + b"\xff\xd9")


def _walk(data: bytes) -> _Segments:
    found = _Segments()
    kept, position = 0, 2  # from where all is needed, and where the next marker is looked for
    for _ in range(MAX_SEGMENTS):
        match = _MARKER.search(data, position)
        if match is None:
            found.pieces.append(data[kept:])
            return found
        code, body = match[1][0], match.end()
        if code == _END:
            found.pieces.append(data[kept:body])
            found.is_whole = True
            return found
        if code == _START:
            position = body
            continue
        end = body + max(2, int.from_bytes(data[body : body + 2], "big"))
        if not found.scans:
            found.pieces.append(data[kept:position])  # and not what fills the gap
            kept = match.start()
        if code in _NOT_NEEDED:
            found.pieces.append(data[kept : match.start()].rstrip(b"\xff"))  # coded data, without what fills the gap
            kept = end
        found.is_cut = end > len(data)
        _note(found, code, data[body + 2 : end])
        position = end
    raise InvalidImageError(f"the JPEG image has more than {MAX_SEGMENTS} segments, which is what is allowed")


def _note(found: _Segments, code: int, body: bytes) -> None:
    if code == _SCAN:
        found.scans.append(body)
        if len(found.scans) > MAX_SCANS:
            raise InvalidImageError(f"the JPEG image has more than {MAX_SCANS} scans, which is what is allowed")
    elif code in _FRAMES:
        found.frame = code, body
    elif code == _APP1:
        for prefix, blocks in ((_EXIF, found.exif), (_XMP, found.xmp)):
            if body.startswith(prefix) and len(blocks) < MAX_BLOCKS:
                blocks.append(body)


def _all_scans_began(found: _Segments) -> bool:
    """Return whether the scans give every coefficient of every component, down to its last bit."""
    code, frame = found.frame
    missing = {(component, coefficient) for component in frame[6::3] for coefficient in _COEFFICIENTS}
    if not missing:
        return False
    for scan in found.scans:
        missing -= _given(scan, code in _PROGRESSIVE)
    return not missing


def _given(scan: bytes, progressive: bool) -> set[tuple[int, int]]:
    """Return the coefficients of which a scan gives the last bit, each as component and place."""
    number = scan[0] if scan else 0
    components: Sequence[int] = scan[1 : 1 + 2 * number : 2]
    spectrum = scan[1 + 2 * number :]
    if len(spectrum) < 3:
        return set()
    first, last, bits = spectrum[:3] if progressive else (0, 63, 0)
    if bits & 15:  # lower bits follow in another scan
        return set()
    return {(component, coefficient) for component in components for coefficient in range(first, last + 1)}


def _without_filling(data: bytes) -> bytes:
    """Return a file that was cut off without the zeros, or ones, that stand where its end was."""
    short = data.rstrip(b"\0")
    if short.endswith(b"\xff") and len(short) < len(data):
        return short + b"\0"  # a byte of coded data, and the zero that belongs to it
    return short.rstrip(b"\xff")


def _more_coded_data() -> bytes:
    """Return what no complete picture would look at: bytes without markers, and every restart marker, several times."""
    chance = Random(0)  # noqa: S311 - any bytes will do, as long as they are the same
    return b"".join(bytes(chance.choices(range(1, 255), k=64)) + bytes((0xFF, 0xD0 + turn % 8)) for turn in range(64))
