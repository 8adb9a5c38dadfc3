"""AVIF and HEIC: which of the two a file is, and what reads it."""

import io
import struct
from collections.abc import Collection
from importlib.util import find_spec

from PIL import AvifImagePlugin, ImageFile

from captioner.errors import InvalidImageError, UnsupportedImageError
from captioner.formats.av1 import frame_pixels
from captioner.formats.boxes import coded_pictures

_AVIF = frozenset((b"avif", b"avis"))
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_CONTAINERS = frozenset((b"mif1", b"msf1", b"miaf"))  # say nothing of how the picture is coded
MAX_BRANDS = 64


def is_iso_media(data: bytes) -> bool:
    """Return whether a file is one of ISO's media files: a picture or a video."""
    return data[4:8] == b"ftyp"


def is_avif(data: bytes) -> bool:
    """Return whether a file says that it is AVIF."""
    return _says(data, _AVIF)


def is_heic(data: bytes) -> bool:
    """Return whether a file says that it is HEIC, or that it is a picture of any kind but AVIF."""
    return (_says(data, _HEIC) or (is_iso_media(data) and data[8:12] in _CONTAINERS)) and not is_avif(data)


def _says(data: bytes, brands: Collection[bytes]) -> bool:
    """Return whether a file is of one of these brands: its own, or if that is any container's, one that it can do."""
    if not is_iso_media(data):
        return False
    if data[8:12] not in _CONTAINERS:
        return data[8:12] in brands
    end = min(int.from_bytes(data[:4], "big"), len(data), 16 + 4 * MAX_BRANDS)
    return any(data[place : place + 4] in brands for place in range(16, end - 3, 4))


def can_read_heic() -> bool:
    """Return whether pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


def open_avif(file: io.BytesIO) -> ImageFile.ImageFile:
    """Read the header of an AVIF file.

    Raises:
        UnsupportedImageError: If Pillow was built without libavif.
    """
    if not AvifImagePlugin.SUPPORTED:
        raise UnsupportedImageError("the Pillow that is installed cannot read AVIF images; install one from PyPI")
    return AvifImagePlugin.AvifImageFile(file)


def coded_pixels(data: bytes) -> list[int]:
    """Return how many pixels each coded frame of an AVIF file has, which need not be what the file says of its picture.

    Raises:
        InvalidImageError: If it cannot be told.
    """
    try:
        found = [pixels for picture in coded_pictures(data) for pixels in frame_pixels(picture)]
    except (ValueError, IndexError, struct.error):
        found = []
    if not found:
        raise InvalidImageError("the AVIF image is truncated or damaged and cannot be decoded")
    return found


def open_heic(file: io.BytesIO) -> ImageFile.ImageFile:
    """Read the header of a HEIC file.

    Raises:
        UnsupportedImageError: If pillow-heif is not installed.
    """
    if not can_read_heic():
        raise UnsupportedImageError(
            "the file is a HEIC image, which is read once pillow-heif is installed: the extra 'heif' of captioner"
        )
    from pillow_heif import HeifImageFile  # noqa: PLC0415 - an extra, which is not always there

    image: ImageFile.ImageFile = HeifImageFile(file)
    return image
