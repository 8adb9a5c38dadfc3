"""From an upload to pixels: bytes to an upright RGB image, and that image to what a network reads.

Uploads are hostile until shown otherwise. The format is told from the first bytes and only that format's
reader is tried; sizes are checked when only the header was read; and whatever a decoder raises becomes an
``ImageError``.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NoReturn

import numpy as np
from PIL import AvifImagePlugin, BmpImagePlugin, GifImagePlugin, Image, ImageFile, PngImagePlugin, WebPImagePlugin

from captioner.config import ImageConfig
from captioner.errors import ImageError, ImageTooLargeError, InvalidImageError, OptionError, UnsupportedImageError
from captioner.formats.foreign import looks_like
from captioner.formats.iso_media import can_read_heic, coded_pixels, is_avif, is_heic, open_avif, open_heic
from captioner.formats.jpeg import JpegFile, needed_of_jpeg
from captioner.formats.metadata import MAX_BLOCK_BYTES, Needed, first_orientation
from captioner.formats.png import needed_of_png
from captioner.types import FloatArray

SUPPORTED_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "AVIF", "HEIC")
# how the names of files in these formats end
SUFFIXES = (".jpg", ".jpeg", ".mpo", ".png", ".webp", ".gif", ".bmp", ".avif", ".heic", ".heif")
STRIP = 64  # rows
MAX_PASSES = (
    8  # of an AVIF: the pixels of its pictures, transparency, thumbnails and layers, as a multiple of the limit
)
MAX_RLE_BYTES = 2**21  # of a run-length coded BMP: Pillow decodes it in Python, some seconds for 20 MiB
MEBIBYTE = 2**20
Box = tuple[float, float, float, float]
SCALES = (2, 4, 8)  # by which a JPEG can be divided
REDUCED_MARGIN = 2  # sides of a JPEG decoded at a reduced size, as a multiple of the square's
TURNED = range(5, 9)  # orientations that swap width and height
FROM_RIGHT, FROM_BELOW = (2, 3, 6, 7), (3, 4, 7, 8)  # whose upright left, or top, edge is stored last


@dataclass(frozen=True)
class ImageLimits:
    """What an upload may be.

    Attributes:
        max_bytes: Most bytes of the file.
        max_pixels: Most pixels, width times height.
        max_side: Longest side in pixels.
        min_side: Shortest side in pixels.
        max_aspect: How many times longer than the short side the long side may be.
    """

    max_bytes: int = 20 * MEBIBYTE
    max_pixels: int = 40_000_000
    max_side: int = 16_000
    min_side: int = 8
    max_aspect: float = 50

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 1:
                raise OptionError(f"{field.name} is {value}; it must be at least 1")
        if self.min_side > self.max_side:
            raise OptionError(f"min_side is {self.min_side}; it must be at most {self.max_side} (max_side)")


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True)
class DecodedPhoto:
    """A photo that was read, perhaps smaller than it is.

    Attributes:
        image: The upright picture, RGB.
        width: The width of the upright photo in full, in pixels.
        height: Its height.
        format: The format of its file; an MPO counts as the JPEG it is.
        box: The part of the picture that is the photo, its left, upper, right and lower edge: at a reduced size the
            last pixels may reach beyond it. ``None`` is all of it.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    box: Box | None = None


Read = Callable[[bytes], DecodedPhoto]  # how the bytes of a file are read; raises an ImageError


@dataclass(frozen=True)
class _Reader:
    """How a supported format is recognised and opened; ``open`` reads no more than its header."""

    format: str
    matches: Callable[[bytes], bool]
    open: Callable[[io.BytesIO], ImageFile.ImageFile]
    strip: Callable[[bytes], Needed] = Needed
    turns: bool = False  # whether the decoder itself makes pictures upright


# Not Image.open(): it compares the size with a limit that is global to the process, and warns.
_READERS = (
    _Reader("JPEG", lambda data: data.startswith(b"\xff\xd8\xff"), JpegFile, needed_of_jpeg),
    _Reader("PNG", lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile, needed_of_png),
    _Reader("WEBP", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
    _Reader("GIF", lambda data: data.startswith((b"GIF87a", b"GIF89a")), GifImagePlugin.GifImageFile),
    _Reader("BMP", lambda data: data.startswith(b"BM"), BmpImagePlugin.BmpImageFile),
    _Reader("AVIF", is_avif, open_avif),
    _Reader("HEIC", is_heic, open_heic, turns=True),
)

_TRANSPOSE = {  # EXIF orientation -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """Read an upload as an upright RGB image, in full and with its ``format``; see :func:`decode_photo`.

    Raises:
        ImageError: If the bytes are no usable image.
    """
    return decode_photo(data, limits).image


def decode_photo(data: bytes, limits: ImageLimits = DEFAULT_LIMITS, side: int | None = None) -> DecodedPhoto:
    """Read an upload as an upright RGB image, at a reduced size if it will be squashed to a small square.

    The orientation of EXIF, or else of XMP, is applied, transparency is laid on white, 16 bits are scaled to 8,
    and of several pictures the first is taken. Of the metadata only ``format`` is kept.

    A JPEG can be decoded at a half, a quarter or an eighth of its size, by a smaller inverse cosine transform of each
    block, which takes a fraction of the time.

    Args:
        data: The whole file.
        limits: What the upload may be, checked by its full size before any pixel is decoded.
        side: Of the square; a JPEG is then reduced as far as each side keeps ``REDUCED_MARGIN`` times as many pixels.
            ``None`` is for the picture in full.

    Raises:
        OptionError: If the square has no pixels.
        UnsupportedImageError: If the bytes are not an image of a supported format.
        ImageTooLargeError: If the image has more bytes, pixels or side length than ``limits`` allow.
        InvalidImageError: If the file is empty, truncated or damaged, or the image too small or elongated.
    """
    if side is not None and side < 1:
        raise OptionError(f"side is {side}; it must be at least 1")
    reader = _recognise(data, limits)
    needed = reader.strip(data)
    source = _open(reader, needed.data)
    _check_size(*source.size, limits)
    _check_effort(source, data, limits)

    try:
        size, scale = _load(reader, source, needed, side)
        _check_size(*size, limits)  # a decoder may learn better
        image = to_rgb(source)
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise far more kinds than they document
        _refuse(reader, error)
    orientation = 1 if reader.turns else first_orientation(_metadata(needed, source))
    if (turn := _TRANSPOSE.get(orientation)) is not None:
        image = image.transpose(turn)
    image.info.clear()  # or the orientation could be applied twice, and a photo's place leak
    image.format = reader.format
    width, height = size[::-1] if orientation in TURNED else size
    box = None if scale == 1 else _box(image, width / scale, height / scale, orientation)
    return DecodedPhoto(image, width, height, reader.format, box)


def _open(reader: _Reader, data: bytes) -> ImageFile.ImageFile:
    try:
        return reader.open(io.BytesIO(data))
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the bytes caused it
        _refuse(reader, error)


def _load(
    reader: _Reader, source: ImageFile.ImageFile, needed: Needed, side: int | None
) -> tuple[tuple[int, int], int]:
    """Decode a picture, reduced if only a square is wanted of it; return its size in full, and what divides that."""
    full, scale = source.size, 1
    if side is not None and needed.scalable:
        least = REDUCED_MARGIN * side
        scale = max((one for one in SCALES if min(full) >= one * least), default=1)
        source.draft(None, (full[0] // scale, full[1] // scale))  # the least that it may come to
    _decode(reader, source, needed)
    return (source.size if scale == 1 else full), scale


def _box(image: Image.Image, width: float, height: float, orientation: int) -> Box:
    """Return the part of an upright picture of reduced size that is the photo, which has these sides there."""
    left = image.width - width if orientation in FROM_RIGHT else 0
    upper = image.height - height if orientation in FROM_BELOW else 0
    return left, upper, left + width, upper + height


def _decode(reader: _Reader, source: ImageFile.ImageFile, needed: Needed) -> None:
    """Decode a picture; that of a file without its end is decoded twice, to see whether its pixels are all there."""
    if needed.padded is None:
        source.load()
        return
    expected = _digest(_open(reader, needed.padded))  # before, so that two pictures are never held at once
    if _digest(source) != expected:
        raise EOFError("some pixels depend on what is missing")


def _digest(image: Image.Image) -> bytes:
    image.load()
    digest = hashlib.blake2b()
    for top in range(0, image.height, STRIP):
        digest.update(image.crop((0, top, image.width, min(top + STRIP, image.height))).tobytes())
    return digest.digest()


def _metadata(needed: Needed, source: ImageFile.ImageFile) -> list[bytes]:
    """Return the blocks of metadata that may tell the orientation: those found in the file, or else by its reader."""
    found = (source.info.get(name) for name in ("exif", "xmp"))
    return [*needed.metadata, *(block[:MAX_BLOCK_BYTES] for block in found if isinstance(block, bytes))]


def _recognise(data: bytes, limits: ImageLimits) -> _Reader:
    if not data:
        raise InvalidImageError("the image is empty: it has 0 bytes")
    if len(data) > limits.max_bytes:
        size, allowed = len(data) / MEBIBYTE, limits.max_bytes / MEBIBYTE
        raise ImageTooLargeError(f"the image has {size:.2f} MiB; at most {allowed:.2f} MiB are allowed")
    for reader in _READERS:
        if reader.matches(data):
            return reader
    foreign = looks_like(data)
    guess = f"; it looks like {foreign}" if foreign else ""
    allowed_formats = ", ".join(name for reader in _READERS if (name := reader.format) != "HEIC" or can_read_heic())
    raise UnsupportedImageError(f"the file is not a supported image{guess}; allowed are {allowed_formats}")


def _refuse(reader: _Reader, error: Exception) -> NoReturn:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        raise ImageTooLargeError(f"the {reader.format} image has too many pixels") from error
    raise InvalidImageError(f"the {reader.format} image is truncated or damaged and cannot be decoded") from error


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    short, long = sorted((width, height))
    given = f"the image is {width} x {height} pixels"
    if long > limits.max_side:
        raise ImageTooLargeError(f"{given}; at most {limits.max_side} on a side are allowed")
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(f"{given}; at most {limits.max_pixels} in all are allowed")
    if short < limits.min_side:
        raise InvalidImageError(f"{given}; at least {limits.min_side} on a side are needed")
    if long > limits.max_aspect * short:
        raise InvalidImageError(f"{given}; a side may be at most {limits.max_aspect:g} times the other")


def _check_effort(image: ImageFile.ImageFile, data: bytes, limits: ImageLimits) -> None:
    if isinstance(image, AvifImagePlugin.AvifImageFile):
        _check_frames(coded_pixels(data), limits)
    size = len(data)
    if size > MAX_RLE_BYTES and any(tile[0] == "bmp_rle" for tile in image.tile):
        raise ImageTooLargeError(
            f"the run-length coded BMP image has {size / MEBIBYTE:.2f} MiB; "
            f"at most {MAX_RLE_BYTES / MEBIBYTE:.2f} MiB are allowed"
        )


def _check_frames(frames: Sequence[int], limits: ImageLimits) -> None:
    """Check what an AVIF decoder would really make, which the size that the file tells says nothing of."""
    largest, all_together = max(frames, default=0), sum(frames)
    if largest > limits.max_pixels:
        raise ImageTooLargeError(f"the AVIF image holds {largest} pixels; at most {limits.max_pixels} are allowed")
    if all_together > MAX_PASSES * limits.max_pixels:
        raise ImageTooLargeError(
            f"the {len(frames)} coded pictures of the AVIF image have {all_together} pixels; "
            f"at most {MAX_PASSES * limits.max_pixels} are allowed"
        )


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a new RGB image of the same pixels, with transparency laid on white."""
    if image.mode.startswith("I"):
        return _sixteen_to_eight_bits(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image if image.mode == "RGBA" else image.convert("RGBA")  # convert() would copy it
    canvas = Image.new("RGB", layer.size, "white")
    canvas.paste(layer, mask=layer.getchannel("A"))  # so that colour hidden under full transparency stays hidden
    return canvas


def _sixteen_to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey values from [0, 65535] to [0, 255], rounded; Pillow's own conversion clips them at 255."""
    values = np.asarray(image).clip(0, 65535).astype(np.uint16)
    grey = (values // 257 + (values % 257 > 128)).astype(np.uint8)  # rounded, and never beyond 16 bits
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey)


class ImageTransform:
    """Turns upright RGB images into the pixels that a model was trained on.

    The whole image is squashed to a square, so that attention cell (row, col) covers exactly that part of it.

    Args:
        config: The side of the square, and the mean and standard deviation of each channel.
    """

    def __init__(self, config: ImageConfig) -> None:
        self.config = config
        self._mean = np.array(config.mean, dtype=np.float32)[:, None, None]  # [3, 1, 1]
        self._std = np.array(config.std, dtype=np.float32)[:, None, None]  # [3, 1, 1]

    def __call__(self, image: Image.Image) -> FloatArray:
        """Return the pixels of one image.

        Args:
            image: An RGB image of any size.

        Returns:
            ``[3, size, size]`` float32, scaled to [0, 1] and normalised.

        Raises:
            OptionError: If the image is not RGB.
        """
        pixels = np.asarray(self.squash(image)).transpose(2, 0, 1).astype(np.float32, order="C")  # [3, H, W]
        pixels /= np.float32(255)
        pixels -= self._mean
        pixels /= self._std
        return pixels

    def squash(self, image: Image.Image, box: Box | None = None) -> Image.Image:
        """Return an RGB image of any size as the square that is looked at; one that is it already, as it is.

        Args:
            image: The image.
            box: The part of it that is meant; ``None`` is all of it.

        Raises:
            OptionError: If the image is not RGB.
        """
        if image.mode != "RGB":
            raise OptionError(f"image mode is {image.mode!r}; it must be 'RGB', as read_image returns it")
        side = self.config.size
        if image.size == (side, side) and box is None:
            return image
        # antialiased; the gap lets huge photos shrink by a whole factor first, which no eye can tell
        return image.resize((side, side), Image.Resampling.BILINEAR, box, reducing_gap=3.0)

    def batch(self, images: Sequence[Image.Image]) -> FloatArray:
        """Return the pixels of several images.

        Args:
            images: B RGB images of any sizes.

        Returns:
            ``[B, 3, size, size]`` float32.

        Raises:
            OptionError: If an image is not RGB.
        """
        if not images:
            return np.empty((0, 3, self.config.size, self.config.size), dtype=np.float32)
        return np.stack([self(image) for image in images])
