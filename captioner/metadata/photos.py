"""Captions in the photos themselves: in XMP, IPTC's Caption-Abstract and EXIF's ImageDescription.

The coded picture of what is to take a photo's place is compared with the photo's, byte for byte, before it does.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from captioner.errors import MetadataError
from captioner.files import rewriting
from captioner.metadata.coded import coded_picture
from captioner.metadata.embedded import Embedded, read_embedded
from captioner.metadata.exiftool import ExifTool
from captioner.metadata.record import Found, Record
from captioner.metadata.webp import with_xmp
from captioner.metadata.xmp import Packet

TAGS = {"iptc": "IPTC:Caption-Abstract", "exif": "EXIF:ImageDescription"}
FIELDS: Mapping[str, tuple[str, ...]] = {"JPEG": ("iptc", "exif"), "PNG": ("exif",), "WEBP": ()}
MAX_IPTC_BYTES = 2000  # of a Caption-Abstract


class Photos:
    """The photos themselves, as where descriptions are kept.

    Args:
        tool: Writes into JPEG and PNG.
        keep_times: Whether the time of a photo's last change stays as it is.
    """

    def __init__(self, tool: ExifTool, *, keep_times: bool = False) -> None:
        self._tool = tool
        self._keep_times = keep_times

    def found(self, photo: Path) -> Found:
        """Return what a model and what a person wrote into a photo.

        Raises:
            MetadataError: If its XMP cannot be read.
        """
        return read_embedded(photo).found()

    def write(self, photo: Path, record: Record) -> None:
        """Write a caption into a photo, in place of any other, which the record then remembers.

        Raises:
            ConfigError: If exiftool is needed and not installed.
            MetadataError: If the format takes none, or the result would be another picture.
        """
        before = read_embedded(photo)
        packet = _packet(before)
        record = replace(record, replaced=_replaced(before, packet.record()))
        tags = {TAGS[place]: record.text.encode() for place in _fields(before)}
        if not _iptc_takes(record.text, before):
            tags.pop(TAGS["iptc"], None)
        elif before.iptc_utf8 is None and "iptc" in _fields(before) and not record.text.isascii():
            tags = {"IPTC:CodedCharacterSet": b"UTF8", **tags}
        self._put(photo, before, packet.with_record(record).data, tags)

    def remove(self, photo: Path) -> bool:
        """Take a model's caption out of a photo, and put back what it replaced; return whether there was one.

        Raises:
            ConfigError: If exiftool is needed and not installed.
            MetadataError: If the result would be another picture.
        """
        before = read_embedded(photo)
        packet = _packet(before)
        record = packet.record()
        if record is None:
            return False
        bare = packet.without_record()
        ours = [place for place, text in _fields(before).items() if text == record.text]
        tags = {TAGS[place]: record.replaced.get(place, "").encode() for place in ours}
        self._put(photo, before, b"" if bare.is_left_over else bare.data, tags)
        return True

    def _put(self, photo: Path, before: Embedded, xmp: bytes, tags: Mapping[str, bytes]) -> None:
        times = photo.stat() if self._keep_times else None
        data = photo.read_bytes()
        picture = coded_picture(data)
        with rewriting(photo, times) as partial:
            if before.format == "WEBP":
                partial.write_bytes(with_xmp(data, xmp or None))
            else:
                partial.write_bytes(self._tool.written(photo, {**tags, "XMP": xmp}))
            if coded_picture(partial.read_bytes()) != picture:
                raise MetadataError("the picture itself would have changed, so it was left as it is; use a sidecar")
            if _body(read_embedded(partial).xmp) != _body(xmp):
                raise MetadataError("its XMP was not written as it should be, so it was left as it is; use a sidecar")


def _body(xmp: bytes | None) -> bytes:
    """Return a packet without its wrapper, which programs change."""
    return Packet(xmp).body if xmp else b""


def _packet(before: Embedded) -> Packet:
    if before.format not in FIELDS:
        raise MetadataError("captions are written into JPEG, PNG and WebP alone; for others there are sidecars")
    packet = before.packet()
    if packet.is_extended:
        raise MetadataError("its XMP is too long for a segment of JPEG, and goes on elsewhere; use a sidecar")
    return packet


def _fields(before: Embedded) -> dict[str, str]:
    """Return what stands in the fields beside XMP that a format has, by place."""
    texts = {"iptc": before.iptc, "exif": before.exif}
    return {place: texts[place] for place in FIELDS[before.format]}


def _replaced(before: Embedded, old: Record | None) -> dict[str, str]:
    """Return what a caption takes the place of beside XMP: a person's words, now or before an older caption."""
    replaced: dict[str, str] = {}
    for place, text in _fields(before).items():
        if old is not None and text == old.text:
            replaced |= {place: old.replaced[place]} if place in old.replaced else {}
        elif text.strip():
            replaced[place] = text
    return replaced


def _iptc_takes(text: str, before: Embedded) -> bool:
    """Whether IPTC can hold a text: it is short, and so is its alphabet if other fields are in Latin-1 already."""
    if len(text.encode()) > MAX_IPTC_BYTES:
        return False
    return before.iptc_utf8 is not False or text.isascii()
