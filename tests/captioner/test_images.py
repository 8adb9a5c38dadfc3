import contextlib
import io
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from captioner.config import ImageConfig
from captioner.errors import (
    ImageError,
    ImageTooLargeError,
    InvalidImageError,
    OptionError,
    UnsupportedImageError,
)
from captioner.formats.jpeg import MAX_SCANS
from captioner.images import MAX_RLE_BYTES, ImageLimits, ImageTransform, read_image
from captioner.types import FloatArray

Pixels = NDArray[np.uint8]
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
LOSSLESS = ("PNG", "BMP", "GIF", "WEBP")


def noise(width: int = 24, height: int = 16, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def smooth(width: int = 48, height: int = 32) -> Image.Image:
    y, x = np.mgrid[0:1:height * 1j, 0:1:width * 1j]  # fmt: skip
    values = np.stack([255 * x, 255 * y, 255 * (1 - x)], axis=2)
    return Image.fromarray(values.astype(np.uint8))


def encode(image: Image.Image, format_name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    if format_name == "WEBP":
        options.setdefault("lossless", True)
    image.save(file, format_name, **options)
    return file.getvalue()


def pixels(data: bytes) -> Pixels:
    image = read_image(data)
    assert image.mode == "RGB"
    return np.asarray(image)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(values: NDArray[Any], bits: int, colour_type: int, *extra: bytes) -> bytes:
    """Write a PNG by hand, from ``[H, W, channels]`` values."""
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    rows = values.astype(">u2" if bits == 16 else np.uint8).reshape(height, -1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", body), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def exif(orientation: int, order: str = "<") -> bytes:
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + mark + struct.pack(order + "IH", 8, 1) + entry + struct.pack(order + "I", 0)


STORED_AS = {  # orientation -> how an upright array is stored, by the EXIF definition of rows and columns
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_exif_orientation_gives_the_same_upright_picture(orientation: int, order: str) -> None:
    upright = np.asarray(noise())
    stored = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation](upright)))
    data = encode(stored, "PNG", exif=exif(orientation, order)[6:])
    image = read_image(data)
    assert np.array_equal(np.asarray(image), upright)
    assert image.size == (24, 16)
    assert not image.info  # else a second reader could turn it again


@pytest.mark.parametrize("format_name", ["JPEG", "WEBP"])
def test_orientation_is_read_from_every_format_that_has_it(format_name: str) -> None:
    upright = smooth()
    data = encode(upright.transpose(Image.Transpose.ROTATE_90), format_name, exif=exif(6))
    assert np.abs(pixels(data).astype(int) - np.asarray(upright)).max() < 25


@pytest.mark.parametrize(
    "broken",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        exif(6)[:20],
        exif(6)[:10] + b"\xff\xff\xff\xff",
        exif(9),
        exif(0),
        b"Exif\0\0XX*\0" + exif(6)[10:],
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(40),
    ],
)
def test_damaged_exif_leaves_a_good_photo_as_it_is(broken: bytes) -> None:
    photo = smooth()
    plain = np.asarray(Image.open(io.BytesIO(encode(photo, "JPEG"))))
    segment = b"\xff\xe1" + struct.pack(">H", len(broken) + 2) + broken
    data = encode(photo, "JPEG")
    assert np.array_equal(pixels(data[:2] + segment + data[2:]), plain)  # before JFIF, as some cameras write
    assert np.array_equal(pixels(data[:20] + segment + data[20:]), plain)


@pytest.mark.parametrize(("order", "mark"), [("<", b"II*\0"), (">", b"MM\0*")])
def test_orientation_may_be_stored_as_a_long(order: str, mark: bytes) -> None:
    entry = struct.pack(order + "HHII", 0x0112, 4, 1, 3)
    data = encode(noise(), "PNG", exif=mark + struct.pack(order + "IH", 8, 1) + entry + bytes(4))
    assert np.array_equal(pixels(data), np.asarray(noise())[::-1, ::-1])


@pytest.mark.parametrize("format_name", LOSSLESS)
def test_lossless_formats_keep_every_pixel(format_name: str) -> None:
    image = noise(8, 8)
    if format_name == "GIF":
        image = image.quantize(64)
    read = read_image(encode(image, format_name))
    assert np.array_equal(np.asarray(read), np.asarray(image.convert("RGB")))
    assert read.format == format_name


def test_jpeg_is_what_pillow_decodes() -> None:
    data = encode(noise(), "JPEG", progressive=True)
    assert np.array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data))))
    assert read_image(data).format == "JPEG"


def test_mpo_gives_its_first_picture_as_a_jpeg() -> None:
    data = encode(smooth(), "MPO", save_all=True, append_images=[noise(48, 32)])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    image = read_image(data)
    assert image.format == "JPEG"
    assert np.abs(np.asarray(image).astype(int) - np.asarray(smooth())).max() < 25


@pytest.mark.parametrize("format_name", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animations_give_their_first_frame(format_name: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    data = encode(frames[0], format_name, save_all=True, append_images=frames[1:], duration=50)
    assert np.abs(pixels(data).astype(int) - RED).max() <= (2 if format_name == "AVIF" else 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "gif"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    hidden = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    hidden.paste((0, 0, 0, 255), (0, 0, 8, 16))
    if mode == "LA":
        data = encode(Image.merge("LA", (Image.new("L", (16, 16)), hidden.getchannel("A"))), "PNG")
    elif mode in ("P", "gif"):
        palette = Image.new("P", (16, 16), 1)
        palette.putpalette([0, 0, 0, *RED])
        palette.paste(0, (0, 0, 8, 16))
        data = encode(palette, "GIF" if mode == "gif" else "PNG", transparency=1)
    else:
        data = encode(hidden, "PNG")
    read = pixels(data)
    assert (read[:, :8] == 0).all()
    assert (read[:, 8:] == WHITE).all()


@pytest.mark.parametrize("alpha", [0, 1, 77, 128, 254, 255])
def test_half_transparent_colour_is_mixed_with_white(alpha: int) -> None:
    data = encode(Image.new("RGBA", (8, 8), (200, 40, 0, alpha)), "PNG")
    expected = [(colour * alpha + 255 * (255 - alpha)) / 255 for colour in (200, 40, 0)]
    assert np.abs(pixels(data) - expected).max() <= 0.51


def test_palette_with_alpha_per_entry() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 0, 0, 200])
    read = pixels(encode(image, "PNG", transparency=bytes([255, 51])))
    assert (read == (204, 204, 244)).all()  # 0.2 * (0, 0, 200) + 0.8 * 255


def test_pictures_without_colour() -> None:
    grey = noise().convert("L")
    assert np.array_equal(pixels(encode(grey, "PNG")), np.repeat(np.asarray(grey)[:, :, None], 3, axis=2))
    bits = Image.new("1", (8, 8))
    bits.paste(1, (0, 0, 4, 8))
    read = pixels(encode(bits, "PNG"))
    assert (read[:, :4] == 255).all()
    assert (read[:, 4:] == 0).all()


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    read = pixels(png(values[:, :, None], 16, 0))
    expected = np.floor(values / 257 + 0.5)
    assert np.array_equal(read[:, :, 0], expected)
    assert (read == read[:, :, :1]).all()


def test_sixteen_bit_grey_may_have_a_transparent_value() -> None:
    values = np.full((8, 8, 1), 1000, np.uint16)
    values[:4] = 40000
    read = pixels(png(values, 16, 0, chunk(b"tRNS", struct.pack(">H", 1000))))
    assert (read[:4] == 156).all()
    assert (read[4:] == 255).all()


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_other_sixteen_bit_pngs(colour_type: int, channels: int) -> None:
    values = np.random.default_rng(1).integers(0, 65536, (8, 8, channels))
    if channels in (2, 4):
        values[:, :, -1] = 65535  # opaque
    colours = values[:, :, :3] if channels > 2 else np.repeat(values[:, :, :1], 3, axis=2)
    assert np.abs(pixels(png(values, 16, colour_type)) - colours / 257).max() <= 1


def test_sixteen_bit_rgb_may_have_a_transparent_colour() -> None:
    values = np.full((8, 8, 3), 0x8080)
    assert pixels(png(values, 16, 2, chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)))).shape == (8, 8, 3)


def cmyk_jpeg(transform: int) -> bytes:
    """Encode C=30 M=60 Y=90 K=10 of 255 as CMYK, and say in the Adobe marker how to read the channels."""
    data = encode(Image.new("CMYK", (16, 16), (30, 60, 90, 10)), "JPEG", quality=100, subsampling=0)
    place = data.index(b"Adobe") + 11
    return data[:place] + bytes([transform]) + data[place + 1 :]


def test_cmyk_jpeg_as_adobe_inverts_it() -> None:
    ink = np.array((30, 60, 90))
    expected = (255 - ink) * (255 - 10) / 255
    assert np.abs(pixels(cmyk_jpeg(0)) - expected).max() < 4


def test_ycck_jpeg() -> None:
    y, cb, cr, k = (255 - ink for ink in (30, 60, 90, 10))  # what is stored, now read as YCbCr and black
    rgb = np.array(
        [
            y + 1.402 * (cr - 128),
            y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128),
            y + 1.772 * (cb - 128),
        ]
    ).clip(0, 255)
    expected = (255 - rgb) * k / 255  # Adobe takes the inks, not the light, as R, G and B
    assert np.abs(pixels(cmyk_jpeg(2)) - expected).max() < 4


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"hello, this is no image", "allowed are JPEG"),
        (b"II*\0" + bytes(40), "TIFF"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "SVG"),
        (b"\xef\xbb\xbf  <SVG/>", "SVG"),
        (b"<!doctype html><p>", "HTML"),
        (b"\0\0\0\x18ftypisom" + bytes(20), "video"),
        (b"8BPS\0\1", "Photoshop"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"RIFF\0\0\0\0WAVEfmt ", "sound"),
    ],
)
def test_what_is_no_supported_image_is_named(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedImageError, match=name):
        read_image(data)


@pytest.mark.parametrize("format_name", ["TIFF", "PPM", "ICO", "JPEG2000", "TGA", "PCX", "EPS"])
def test_formats_that_only_pillow_knows_stay_shut(format_name: str) -> None:
    with pytest.raises(UnsupportedImageError):
        read_image(encode(noise(), format_name))


def test_size_limits() -> None:
    limits = ImageLimits(max_bytes=4000, max_pixels=2000, max_side=60, min_side=10, max_aspect=4)

    def size(width: int, height: int) -> tuple[int, int]:
        return read_image(encode(Image.new("RGB", (width, height)), "PNG"), limits).size

    assert size(50, 40) == (50, 40)
    assert size(10, 40) == (10, 40)
    for width, height in ((51, 40), (61, 20), (20, 61)):
        with pytest.raises(ImageTooLargeError, match=f"{width} x {height}"):
            size(width, height)
    for width, height in ((9, 12), (12, 9), (10, 41), (41, 10)):
        with pytest.raises(InvalidImageError, match=f"{width} x {height}"):
            size(width, height)
    with pytest.raises(ImageTooLargeError, match="MiB"):
        read_image(bytes(4001), limits)
    with pytest.raises(InvalidImageError, match="empty"):
        read_image(b"")


@pytest.mark.parametrize("values", [{"max_bytes": 0}, {"max_aspect": 0.5}, {"min_side": 20_000}])
def test_limits_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(values))):
        ImageLimits(**values)


def bombs() -> dict[str, bytes]:
    big = 50_000
    jpeg = encode(noise(), "JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5
    bmp = encode(noise(), "BMP")
    gif = b"GIF89a" + struct.pack("<HHBBB", 16, 16, 0, 0, 0) + b","
    webp = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16382).to_bytes(3, "little") * 2 + b"VP8L" + bytes(20)
    return {
        "png": encode(noise(), "PNG")[:8]
        + chunk(b"IHDR", struct.pack(">IIBBBBB", big, big, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1000))),
        "png-just-over": png(np.zeros((1, 1, 3)), 8, 2).replace(
            chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
            chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 9_000, 8, 2, 0, 0, 0)),  # where Pillow would warn
        ),
        "jpeg": jpeg[:frame] + struct.pack(">HH", big, big) + jpeg[frame + 4 :],
        "bmp": bmp[:18] + struct.pack("<ii", big, big) + bmp[26:],
        "gif-screen": b"GIF89a" + struct.pack("<HHBBB", big, big, 0, 0, 0) + encode(noise(), "GIF")[13:],
        "gif-frame": gif + struct.pack("<HHHHB", 0, 0, big, big, 0) + b"\x08" + bytes(10),
        "gif-frame-warns": gif + struct.pack("<HHHHB", 0, 0, 10_000, 9_000, 0) + b"\x08" + bytes(10),
        "webp": b"RIFF" + struct.pack("<I", len(webp) + 4) + b"WEBP" + webp,
    }


@pytest.mark.parametrize("name", bombs())
def test_bombs_are_refused_before_they_are_decoded(name: str) -> None:
    data = bombs()[name]
    start = time.perf_counter()
    with pytest.raises(ImageTooLargeError):
        read_image(data)
    assert time.perf_counter() - start < 0.5


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = encode(smooth(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    assert read_image(data[:last] + scan * 3 + b"\xff\xd9").size == (48, 32)
    with pytest.raises(InvalidImageError, match="scans"):
        read_image(data[:last] + scan * (MAX_SCANS + 1) + b"\xff\xd9")


def run_length_bmp(side: int, runs: bytes) -> bytes:
    start = 14 + 40 + 1024
    head = struct.pack("<2sIHHI", b"BM", start + len(runs), 0, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return head + info + bytes(range(256)) * 4 + runs


def test_run_lengths_are_decoded_slowly_and_so_must_be_few() -> None:
    runs = b"\x10\x07\0\0" * 16 + b"\0\1"  # sixteen pixels of colour 7, end of line; end of picture
    assert read_image(run_length_bmp(16, runs)).getpixel((3, 3)) == (30, 29, 28)  # blue comes first
    with pytest.raises(ImageTooLargeError, match="run-length"):
        read_image(run_length_bmp(16, runs + bytes(MAX_RLE_BYTES)))


SEEDS = {
    "jpeg": encode(noise(), "JPEG", exif=exif(6)),
    "progressive": encode(noise(), "JPEG", progressive=True),
    "cmyk": encode(noise().convert("CMYK"), "JPEG"),
    "png": encode(noise(), "PNG", exif=exif(3)[6:]),
    "palette": encode(noise().quantize(16), "PNG", transparency=3),
    "deep": png(np.arange(256).reshape(16, 16, 1) * 200, 16, 0),
    "apng": encode(noise(), "PNG", save_all=True, append_images=[noise(seed=1)]),
    "gif": encode(noise().quantize(16), "GIF", save_all=True, append_images=[noise(seed=1).quantize(16)]),
    "webp": encode(noise(), "WEBP", exif=exif(8)),
    "lossy": encode(noise(), "WEBP", lossless=False),
    "bmp": encode(noise(), "BMP"),
    "rle": encode(noise().quantize(16), "BMP"),
    "mpo": encode(noise(), "MPO", save_all=True, append_images=[noise(seed=1)]),
    "avif": encode(noise(), "AVIF", exif=exif(6)),
    "avis": encode(noise(), "AVIF", save_all=True, append_images=[noise(seed=1)]),
}


def read_or_refuse(data: bytes) -> None:
    """Whatever the bytes are, an upright RGB image or an ImageError must come of them."""
    with contextlib.suppress(ImageError):
        assert read_image(data, ImageLimits(max_pixels=100_000)).mode == "RGB"


@pytest.mark.parametrize("name", SEEDS)
def test_truncation_anywhere_is_an_image_error_or_an_image(name: str) -> None:
    data = SEEDS[name]
    step = max(1, len(data) // 150)
    for length in range(0, len(data), step):
        read_or_refuse(data[:length])
    with pytest.raises(ImageError):
        read_image(data[: len(data) // 3])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_files_raise_nothing_but_image_errors(data: st.DataObject) -> None:
    mutated = bytearray(data.draw(st.sampled_from(list(SEEDS.values()))))
    place = st.one_of(st.integers(0, 80), st.integers(0, len(mutated) - 1))
    for index, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)):
        mutated[index % len(mutated)] = value
    cut, insert = data.draw(place), data.draw(st.binary(max_size=6))
    mutated[cut:cut] = insert
    read_or_refuse(bytes(mutated))


@settings(max_examples=200, deadline=None)
@given(
    prefix=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF\4\0\0\0WEBPVP8 "]),
    body=st.binary(max_size=200),
)
def test_arbitrary_bytes_raise_nothing_but_image_errors(prefix: bytes, body: bytes) -> None:
    read_or_refuse(prefix + body)


def test_chunks_with_valid_checksums_but_nonsense_inside() -> None:
    random = np.random.default_rng(0)
    body = np.zeros((16, 16, 1))
    for kind in (
        b"acTL",
        b"fcTL",
        b"tRNS",
        b"iCCP",
        b"eXIf",
        b"pHYs",
        b"gAMA",
        b"zTXt",
        b"iTXt",
        b"cHRM",
        b"PLTE",
    ):
        for length in (0, 1, 4, 8, 13, 26, 40):
            read_or_refuse(png(body, 8, 0, chunk(kind, random.bytes(length))))


def test_threads_read_the_same_pictures() -> None:
    names = [name for name in SEEDS for _ in range(8)]
    alone = {name: pixels(data) for name, data in SEEDS.items()}
    with ThreadPoolExecutor(8) as pool:
        read = pool.map(lambda name: pixels(SEEDS[name]), names)
    assert all(np.array_equal(alone[name], image) for name, image in zip(names, read, strict=True))


CONFIG = ImageConfig(size=64)


def reference(image: Image.Image, config: ImageConfig = CONFIG) -> FloatArray:
    transform = v2.Compose(
        [
            v2.Resize((config.size, config.size), antialias=True),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(config.mean, config.std),
        ]
    )
    pixels: FloatArray = transform(image).numpy()
    return pixels


@pytest.mark.parametrize("size", [(64, 64), (120, 90), (33, 200), (20, 20)])
def test_transform_equals_torchvision(size: tuple[int, int]) -> None:
    image = noise(*size)
    made = ImageTransform(CONFIG)(image)
    assert made.shape == (3, 64, 64)
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    np.testing.assert_allclose(made, reference(image), rtol=0, atol=1e-6)


def test_shrinking_a_huge_photo_in_two_steps_is_hardly_visible() -> None:
    image = smooth(2000, 1500)
    difference = ImageTransform(CONFIG)(image) - reference(image)
    assert np.abs(difference).max() < 2.5 / 255 / 0.224  # two and a half grey levels


def test_an_image_of_the_right_size_is_not_resampled() -> None:
    image = noise(64, 64)
    config = ImageConfig(size=64, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    expected = np.asarray(image).transpose(2, 0, 1) / np.float32(255)
    assert np.array_equal(ImageTransform(config)(image), expected)


def test_a_batch_is_its_images() -> None:
    transform = ImageTransform(CONFIG)
    images = [noise(30, 40), noise(64, 64), noise(100, 20)]
    assert np.array_equal(transform.batch(images), np.stack([transform(image) for image in images]))
    assert transform.batch([]).shape == (0, 3, 64, 64)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P"])
def test_transform_wants_rgb(mode: str) -> None:
    with pytest.raises(OptionError, match=mode):
        ImageTransform(CONFIG)(noise().convert(mode))
