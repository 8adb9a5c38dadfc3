"""From an upload to pixels: bytes to an upright RGB image, and that image to what a network reads.

Uploads are hostile until shown otherwise. The format is told from the first bytes and only that format's
reader is tried; sizes are checked when only the header was read; and whatever a decoder raises becomes an
``ImageError``.
"""

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NoReturn

import numpy as np
import torch
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from torch import Tensor

from captioner.config import ImageConfig
from captioner.errors import ImageTooLargeError, InvalidImageError, OptionError, UnsupportedImageError

SUPPORTED_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP")
MAX_SCANS = 64  # of a JPEG: a progressive photo has about ten, and each may cost a pass over all pixels
MAX_RLE_BYTES = 2**21  # of a run-length coded BMP: Pillow decodes it in Python, some seconds for 20 MiB
MEBIBYTE = 2**20


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


class _JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's JPEG reader, without its look for a resolution in EXIF, which warns when the EXIF is damaged.

    Used directly, it also reads the first picture of an MPO as the JPEG that it is.
    """

    def _read_dpi_from_exif(self) -> None:
        pass


@dataclass(frozen=True)
class _Reader:
    """How a supported format is recognised and opened; ``open`` reads no more than its header."""

    format: str
    matches: Callable[[bytes], bool]
    open: Callable[[io.BytesIO], ImageFile.ImageFile]


# Not Image.open(): it compares the size with a limit that is global to the process, and warns.
_READERS = (
    _Reader("JPEG", lambda data: data.startswith(b"\xff\xd8\xff"), _JpegFile),
    _Reader("PNG", lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    _Reader("WEBP", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
    _Reader("GIF", lambda data: data.startswith((b"GIF87a", b"GIF89a")), GifImagePlugin.GifImageFile),
    _Reader("BMP", lambda data: data.startswith(b"BM"), BmpImagePlugin.BmpImageFile),
)

_FOREIGN = (  # what people upload by mistake, by its first bytes
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\1\0", "an icon"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"PK\3\4", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"RIFF", "a sound or a video"),
)
_BRANDS = {  # of an ISO media file: bytes 8 to 12
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), "a HEIC image"),
    **dict.fromkeys((b"avif", b"avis"), "an AVIF image"),
}
_TRANSPOSE = {  # EXIF orientation -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG, _LONG = 0x0112, 4  # the tag of EXIF, and the type of a value of four bytes instead of two


def read_image(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """Read an upload as an upright RGB image.

    EXIF orientation is applied, transparency is laid on white, 16 bits are scaled to 8, and of several
    pictures the first is taken. Of the metadata only ``format`` is kept; an MPO counts as the JPEG it is.

    Args:
        data: The whole file.
        limits: What the upload may be, checked before any pixel is decoded.

    Returns:
        The image, its size that of the upright photo in full.

    Raises:
        UnsupportedImageError: If the bytes are not an image of a supported format.
        ImageTooLargeError: If the image has more bytes, pixels or side length than ``limits`` allow.
        InvalidImageError: If the file is empty, truncated or damaged, or the image too small or elongated.
    """
    reader = _recognise(data, limits)
    try:
        source = reader.open(io.BytesIO(data))
    except Exception as error:  # noqa: BLE001 - whatever it is, the bytes caused it
        _refuse(reader, error)
    _check_size(source.width, source.height, limits)
    _check_effort(source, len(data))
    try:
        source.load()
        image = _to_rgb(source)
    except Exception as error:  # noqa: BLE001 - decoders raise far more kinds than they document
        _refuse(reader, error)
    turn = _TRANSPOSE.get(_orientation(source.info.get("exif")))
    if turn is not None:
        image = image.transpose(turn)
    image.info.clear()  # or the orientation could be applied twice, and a photo's place leak
    image.format = reader.format
    return image


def _recognise(data: bytes, limits: ImageLimits) -> _Reader:
    if not data:
        raise InvalidImageError("the image is empty: it has 0 bytes")
    if len(data) > limits.max_bytes:
        size, allowed = len(data) / MEBIBYTE, limits.max_bytes / MEBIBYTE
        raise ImageTooLargeError(f"the image has {size:.2f} MiB; at most {allowed:.2f} MiB are allowed")
    for reader in _READERS:
        if reader.matches(data):
            if reader.format == "JPEG" and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
                raise InvalidImageError(f"the JPEG image has {scans} scans; at most {MAX_SCANS} are allowed")
            return reader
    foreign = _looks_like(data)
    guess = f"; it looks like {foreign}" if foreign else ""
    allowed_formats = ", ".join(reader.format for reader in _READERS)
    raise UnsupportedImageError(f"the file is not a supported image{guess}; allowed are {allowed_formats}")


def _looks_like(data: bytes) -> str | None:
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "a video")
    for prefix, name in _FOREIGN:
        if data.startswith(prefix):
            return name
    text = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<"):
        return "an SVG drawing" if b"<svg" in text else "an HTML or XML document"
    return None


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


def _check_effort(image: ImageFile.ImageFile, size: int) -> None:
    if size > MAX_RLE_BYTES and any(tile[0] == "bmp_rle" for tile in image.tile):
        raise ImageTooLargeError(
            f"the run-length coded BMP image has {size / MEBIBYTE:.2f} MiB; "
            f"at most {MAX_RLE_BYTES / MEBIBYTE:.2f} MiB are allowed"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
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


def _orientation(exif: object) -> int:
    """Return the orientation that EXIF bytes give; 1, which is upright, if they give none or are damaged.

    Read here because Pillow reads all of EXIF for this one number, and warns of damage anywhere in it.
    """
    tiff = exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else b""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        for index in range(count):
            entry = directory + 2 + 12 * index
            tag, kind = struct.unpack_from(order + "HH", tiff, entry)
            if tag == _ORIENTATION_TAG:
                (value,) = struct.unpack_from(order + ("I" if kind == _LONG else "H"), tiff, entry + 8)
                return int(value)
    except struct.error:  # shorter than it says
        pass
    return 1


class ImageTransform:
    """Turns upright RGB images into the pixels that a model was trained on.

    The whole image is squashed to a square, so that attention cell (row, col) covers exactly that part of it.

    Args:
        config: The side of the square, and the mean and standard deviation of each channel.
    """

    def __init__(self, config: ImageConfig) -> None:
        self.config = config
        self._mean = torch.tensor(config.mean)[:, None, None]  # [3, 1, 1]
        self._std = torch.tensor(config.std)[:, None, None]  # [3, 1, 1]

    def __call__(self, image: Image.Image) -> Tensor:
        """Return the pixels of one image.

        Args:
            image: An RGB image of any size.

        Returns:
            ``[3, size, size]`` float32, scaled to [0, 1] and normalised.

        Raises:
            OptionError: If the image is not RGB.
        """
        pixels = torch.from_numpy(np.array(self.squash(image))).permute(2, 0, 1).contiguous()  # [3, H, W]
        return pixels.float().div_(255).sub_(self._mean).div_(self._std)

    def squash(self, image: Image.Image) -> Image.Image:
        """Return an RGB image of any size as the square that is looked at; one that is it already, as it is.

        Raises:
            OptionError: If the image is not RGB.
        """
        if image.mode != "RGB":
            raise OptionError(f"image mode is {image.mode!r}; it must be 'RGB', as read_image returns it")
        side = self.config.size
        if image.size == (side, side):
            return image
        # antialiased; the gap lets huge photos shrink by a whole factor first, which no eye can tell
        return image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)

    def batch(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the pixels of several images.

        Args:
            images: B RGB images of any sizes.

        Returns:
            ``[B, 3, size, size]`` float32.

        Raises:
            OptionError: If an image is not RGB.
        """
        if not images:
            return torch.empty(0, 3, self.config.size, self.config.size)
        return torch.stack([self(image) for image in images])
