"""What of a file is its coded picture: all that must be the same when only metadata were written.

A file is written in place of another only if this is equal, byte for byte: whatever program wrote the metadata.
"""

from collections.abc import Iterator

from captioner.errors import MetadataError

JPEG_METADATA = frozenset((0xE1, 0xED))  # APP1: EXIF and XMP; APP13: IPTC
PNG_METADATA = frozenset((b"eXIf", b"iTXt", b"tEXt", b"zTXt", b"tIME"))
WEBP_METADATA = frozenset((b"EXIF", b"XMP "))
Part = tuple[bytes, bytes]


def coded_picture(data: bytes) -> list[Part]:
    """Return the parts of a JPEG, PNG or WebP file that are no metadata, with their names, in their order.

    Raises:
        MetadataError: If the file is damaged, or in another format.
    """
    if data.startswith(b"\xff\xd8"):
        return list(_of_jpeg(data))
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return [part for part in _of_png(data) if part[0] not in PNG_METADATA]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return [part for part in webp_chunks(data) if part[0] not in WEBP_METADATA | {b"VP8X"}]
    raise MetadataError("metadata are written into JPEG, PNG and WebP alone; for others there are sidecars")


def _of_jpeg(data: bytes) -> Iterator[Part]:
    position = 2
    while data[position : position + 1] == b"\xff":
        code = data[position + 1]
        if code == 0xFF:  # what fills a gap
            position += 1
            continue
        if code == 0xDA:  # the coded data, and all that follows them
            yield b"\xda", data[position:]
            return
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if code not in JPEG_METADATA:
            yield bytes((code,)), data[position:end]
        position = end
    raise MetadataError("the JPEG file is damaged")


def _of_png(data: bytes) -> Iterator[Part]:
    position = 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        yield data[position + 4 : position + 8], data[position:end]
        position = end
    if position != len(data):
        raise MetadataError("the PNG file is damaged")


def webp_chunks(data: bytes) -> Iterator[Part]:
    """Yield the name and body of each chunk of a WebP file.

    Raises:
        MetadataError: If a chunk is longer than the file.
    """
    position, last = 12, 8 + int.from_bytes(data[4:8], "little")
    while position + 8 <= min(last, len(data)):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        body = data[position + 8 : position + 8 + size]
        if len(body) < size:
            raise MetadataError("the WebP file is damaged")
        yield data[position : position + 4], body
        position += 8 + size + size % 2
