"""What stands in a photo itself: its XMP packet, IPTC's Caption-Abstract and EXIF's ImageDescription.

Pillow reads them, and no more than the head of the file; :mod:`captioner.metadata.writing` writes them.
"""

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFile, IptcImagePlugin, UnidentifiedImageError

from captioner.metadata.record import Found
from captioner.metadata.xmp import Packet

IMAGE_DESCRIPTION = 0x010E  # of EXIF
CAPTION_ABSTRACT, CHARACTER_SET = (2, 120), (1, 90)  # of IPTC
UTF8 = b"\x1b%G"  # as IPTC's character set
# What cameras write into EXIF by themselves, which describes nothing.
BY_CAMERAS = frozenset(
    ("olympus digital camera", "sony dsc", "minolta digital camera", "konica minolta digital camera", "dcim", "default")
)
UNREADABLE = (OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class Embedded:
    """What stands in a photo.

    Attributes:
        format: Of the file, as Pillow calls it; empty if it is no picture.
        xmp: The XMP packet, or ``None``.
        exif: EXIF's ImageDescription.
        iptc: IPTC's Caption-Abstract.
        iptc_utf8: Whether the IPTC is said to be in UTF-8; ``None`` if there is no IPTC.
    """

    format: str = ""
    xmp: bytes | None = None
    exif: str = ""
    iptc: str = ""
    iptc_utf8: bool | None = None

    def packet(self) -> Packet:
        """Return the XMP packet, a new one if there is none.

        Raises:
            MetadataError: If it cannot be read.
        """
        return Packet(self.xmp)

    def found(self) -> Found:
        """Return what a model and what a person wrote.

        Raises:
            MetadataError: If the XMP cannot be read.
        """
        packet = self.packet()
        record = packet.record()
        ours = None if record is None else record.text
        others = (
            text for text in (self.iptc, "" if self.is_from_camera else self.exif) if text.strip() and text != ours
        )
        return Found(record, packet.person() or next(others, ""))

    @property
    def is_from_camera(self) -> bool:
        """Whether the EXIF has what a camera writes there by itself."""
        return self.exif.strip().lower() in BY_CAMERAS


def read_embedded(path: Path) -> Embedded:
    """Return what stands in a photo; nothing of a file that is no picture or whose metadata are damaged.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(file) as image:
                return _embedded(image)
        except UnidentifiedImageError:
            return Embedded()
        except UNREADABLE:
            return Embedded()


def _embedded(image: ImageFile.ImageFile) -> Embedded:
    xmp, iptc = image.info.get("xmp"), _iptc(image)
    return Embedded(
        "JPEG" if image.format == "MPO" else image.format or "",
        xmp if isinstance(xmp, bytes) and xmp.strip(b"\0 \n") else None,
        _exif(image),
        "" if iptc is None else _decoded(iptc.get(CAPTION_ABSTRACT)),
        None if iptc is None else iptc.get(CHARACTER_SET) == UTF8,
    )


def _exif(image: Image.Image) -> str:
    try:
        value = image.getexif().get(IMAGE_DESCRIPTION, "")
    except UNREADABLE:  # damaged: whoever writes it will say so
        return ""
    return _decoded(value.encode("latin-1", "replace")) if isinstance(value, str) else ""  # read as Latin-1 by Pillow


def _iptc(image: ImageFile.ImageFile) -> dict[tuple[int, int], object] | None:
    if image.format not in ("JPEG", "MPO"):
        return None
    try:
        return IptcImagePlugin.getiptcinfo(image)  # type: ignore[return-value]
    except UNREADABLE:
        return None


def _decoded(value: object) -> str:
    """Return a text of which nobody says how it is encoded."""
    value = value[0] if isinstance(value, list) else value
    if not isinstance(value, bytes):
        return ""
    try:
        return value.rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        return value.rstrip(b"\0").decode("latin-1")
