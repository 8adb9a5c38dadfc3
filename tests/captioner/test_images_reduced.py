"""Large JPEGs at a reduced size, with the photo in full as the oracle."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from captioner.config import ImageConfig
from captioner.errors import ImageError, ImageTooLargeError, InvalidImageError, OptionError
from captioner.images import REDUCED_MARGIN, DecodedPhoto, ImageLimits, ImageTransform, decode_photo, read_image

TRANSFORM = ImageTransform(ImageConfig(size=48))
SIDE = TRANSFORM.config.size
STORED_AS: dict[
    int, Any
] = {  # orientation -> how an upright array is stored, by the EXIF definition of rows and columns
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}


def photo(width: int, height: int, noise: float = 0) -> NDArray[np.uint8]:
    """Return a picture with edges, a gradient across and the grain of a sensor."""
    random = np.random.default_rng(1)
    blocks = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height), 0)
    values = np.asarray(blocks) * 0.6 + np.linspace(0, 90, width)[None, :, None]
    return (values + random.normal(0, noise, values.shape)).clip(0, 255).astype(np.uint8)


def jpeg(values: NDArray[np.uint8], mode: str = "RGB", format_name: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).convert(mode).save(file, format_name, quality=90, **options)
    return file.getvalue()


def exif(orientation: int) -> bytes:
    values = Image.Exif()
    values[0x0112] = orientation
    return values.tobytes()


def difference(read: DecodedPhoto, other: Image.Image) -> float:
    """Return the mean absolute difference of a photo and a picture, both squashed to the square, in levels of 255."""
    squares = [np.asarray(one).astype(int) for one in (TRANSFORM.squash(read.image, read.box), TRANSFORM.squash(other))]
    return float(np.abs(squares[0] - squares[1]).mean())


@pytest.mark.parametrize("orientation", STORED_AS)
def test_every_orientation_gives_the_upright_picture_and_its_size(orientation: int) -> None:
    upright = photo(803, 397)
    data = jpeg(STORED_AS[orientation](upright), exif=exif(orientation))
    read = decode_photo(data, side=SIDE)
    assert (read.width, read.height, read.format) == (803, 397, "JPEG")
    assert read.image.size == (201, 100)
    assert difference(read, Image.fromarray(upright)) < 0.6  # 0.75 if its box were that of the next orientation
    assert not read.image.info


@given(st.integers(8, 200), st.integers(8, 200), st.integers(1, 60))
def test_it_is_reduced_as_far_as_the_margin_allows(width: int, height: int, side: int) -> None:
    data = jpeg(photo(width, height))
    least = REDUCED_MARGIN * side
    scale = max(scale for scale in (1, 2, 4, 8) if scale == 1 or min(width, height) >= scale * least)
    read = decode_photo(data, side=side)
    assert read.image.size == (-(-width // scale), -(-height // scale))
    assert (read.width, read.height) == (width, height)
    if scale == 1:
        assert np.array_equal(np.asarray(read.image), np.asarray(read_image(data)))


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 5}], ids=str
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_its_pixels_are_those_of_the_photo_in_full(mode: str, options: dict[str, Any]) -> None:
    data = jpeg(photo(900, 700, noise=12), mode, **options)
    read = decode_photo(data, side=SIDE)
    assert (read.image.mode, read.image.size) == ("RGB", (225, 175))
    assert difference(read, read_image(data)) < 1


def test_the_first_picture_of_an_mpo_is_reduced() -> None:
    first = photo(800, 600)
    data = jpeg(first, format_name="MPO", save_all=True, append_images=[Image.new("RGB", (800, 600))])
    read = decode_photo(data, side=SIDE)
    assert (read.image.size, read.width, read.height, read.format) == ((200, 150), 800, 600, "JPEG")
    assert difference(read, Image.fromarray(first)) < 2


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "BMP", "GIF"])
def test_other_formats_are_read_in_full(format_name: str) -> None:
    file = io.BytesIO()
    Image.fromarray(photo(800, 600)).save(file, format_name)
    read = decode_photo(file.getvalue(), side=SIDE)
    assert read.image.size == (read.width, read.height) == (800, 600)
    assert np.array_equal(np.asarray(read.image), np.asarray(read_image(file.getvalue())))


def lossless(side: int) -> bytes:
    """Write a lossless JPEG (T.81, annex H), grey throughout: each difference has category 0, a code of one bit."""

    def segment(code: int, body: bytes) -> bytes:
        return bytes((0xFF, code)) + struct.pack(">H", len(body) + 2) + body

    frame = segment(0xC3, struct.pack(">BHHB", 8, side, side, 1) + bytes((1, 0x11, 0)))
    table = segment(0xC4, bytes((0, 1, *[0] * 15, 0)))
    scan = segment(0xDA, bytes((1, 1, 0, 1, 0, 0)))
    return b"\xff\xd8" + frame + table + scan + bytes(side * side // 8) + b"\xff\xd9"


def test_a_lossless_jpeg_has_no_smaller_transform() -> None:
    read = decode_photo(lossless(400), side=SIDE)
    assert read.image.size == (400, 400)
    assert (np.asarray(read.image) == 128).all()


@pytest.mark.parametrize(
    "limits",
    [
        ImageLimits(max_pixels=799 * 600),
        ImageLimits(max_side=799),
        ImageLimits(min_side=601),
        ImageLimits(max_aspect=1.3),
        ImageLimits(max_bytes=2000),
    ],
)
def test_limits_are_those_of_the_photo_in_full(limits: ImageLimits) -> None:
    data = jpeg(photo(800, 600))
    with pytest.raises(ImageError) as full:
        read_image(data, limits)
    with pytest.raises(type(full.value), match=str(full.value).replace(".", r"\.")):
        decode_photo(data, limits, SIDE)


def test_a_photo_within_the_limits_may_be_reduced_below_them() -> None:
    limits = ImageLimits(min_side=600, max_side=800, max_pixels=480_000)
    assert decode_photo(jpeg(photo(800, 600)), limits, SIDE).image.size == (200, 150)
    with pytest.raises(ImageTooLargeError, match="801 x 599"):
        decode_photo(jpeg(photo(801, 599)), limits, SIDE)


def outcome(data: bytes, side: int | None) -> str:
    try:
        read = decode_photo(data, side=side)
    except InvalidImageError as error:
        return str(error)
    return f"{read.width} x {read.height}"


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=str)
def test_what_is_refused_in_full_is_refused(options: dict[str, Any]) -> None:
    data = jpeg(photo(800, 600, noise=12), **options)
    cut = [data[:length] for length in (*range(3, len(data), len(data) // 12), *range(len(data) - 40, len(data), 3))]
    assert {outcome(one, SIDE) for one in cut} > {"800 x 600"}  # without its last bytes it is whole
    for one in (*cut, *(one + b"\xff\xd9" for one in cut)):
        assert outcome(one, SIDE) == outcome(one, None)


def test_a_square_has_pixels() -> None:
    with pytest.raises(OptionError, match="side is 0"):
        decode_photo(jpeg(photo(80, 60)), side=0)
