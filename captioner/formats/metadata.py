"""What of a file is needed for its picture, and which way up it is stored, as EXIF and XMP tell it.

The orientation is read here because Pillow reads all of EXIF for this one number, and warns of damage anywhere in it.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_BLOCKS = 8  # of metadata that are looked at for an orientation; files have one or two
MAX_BLOCK_BYTES = 2**18  # of a block that are looked at: its orientation stands near its beginning
_TAG, _LONG = 0x0112, 4  # the tag of EXIF, and the type of a value of four bytes instead of two
_EXIF = b"Exif\0\0"
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_XMP = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])""")  # as an attribute or as an element


@dataclass(frozen=True)
class Needed:
    """A file without what its picture does not need.

    Attributes:
        data: What the decoder is given.
        metadata: Blocks of EXIF and XMP, those to be trusted most first.
        padded: For a file whose end is missing: the same with more coded data before its end. If its pixels are
            those of ``data``, none of them depends on what follows, and so nothing of the picture was missing.
        scalable: Whether the decoder may make the picture smaller as it decodes.
    """

    data: bytes
    metadata: Sequence[bytes] = ()
    padded: bytes | None = None
    scalable: bool = False


def first_orientation(metadata: Iterable[bytes]) -> int:
    """Return the orientation, from 1 to 8, that the first of several blocks gives; 1, upright, if none does."""
    return next((found for block in metadata if (found := orientation(block)) is not None), 1)


def orientation(block: bytes) -> int | None:
    """Return the orientation, from 1 to 8, that a block of EXIF or XMP gives; none if it is damaged or gives none."""
    while block.startswith(_EXIF):  # some programs put it before EXIF that has it already
        block = block.removeprefix(_EXIF)
    order = _ORDERS.get(block[:4])
    if order is not None:
        return _from_tiff(block, order)
    found = _XMP.search(block)
    return int(found[1]) if found else None


def _from_tiff(tiff: bytes, order: str) -> int | None:
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        for index in range(count):
            entry = directory + 2 + 12 * index
            tag, kind = struct.unpack_from(order + "HH", tiff, entry)
            if tag == _TAG:
                (value,) = struct.unpack_from(order + ("I" if kind == _LONG else "H"), tiff, entry + 8)
                return value if 1 <= value <= 8 else None
    except struct.error:  # shorter than it says
        pass
    return None
