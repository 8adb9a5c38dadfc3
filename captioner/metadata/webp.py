"""XMP in WebP files, whose container is a list of chunks (RFC 9649); exiftool writes them only since version 12.6x.

A file of a single chunk gets the ``VP8X`` chunk that announces others, with the size of the picture.
"""

import io

from PIL import Image

from captioner.metadata.coded import webp_chunks

XMP_FLAG, ALPHA_FLAG = 0x04, 0x10  # of the first byte of VP8X


def with_xmp(data: bytes, xmp: bytes | None) -> bytes:
    """Return a WebP file with an XMP packet in place of the one that it has; ``None`` takes it away.

    Raises:
        MetadataError: If the file is damaged.
    """
    chunks = [(name, body) for name, body in webp_chunks(data) if name != b"XMP "]
    if chunks[0][0] != b"VP8X" and xmp is not None:
        chunks.insert(0, (b"VP8X", _extended(data)))
    if chunks[0][0] == b"VP8X":
        flags = chunks[0][1][0] & ~XMP_FLAG | (0 if xmp is None else XMP_FLAG)
        chunks[0] = (b"VP8X", bytes((flags,)) + chunks[0][1][1:])
    if xmp is not None:
        chunks.append((b"XMP ", xmp))
    body = b"".join(name + len(part).to_bytes(4, "little") + part + bytes(len(part) % 2) for name, part in chunks)
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body


def _extended(data: bytes) -> bytes:
    """Return the body of the VP8X chunk of a file that has none: flags, and width and height less one."""
    with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
        flags = ALPHA_FLAG if image.mode == "RGBA" else 0
        sides = b"".join((side - 1).to_bytes(3, "little") for side in image.size)
    return bytes((flags, 0, 0, 0)) + sides
