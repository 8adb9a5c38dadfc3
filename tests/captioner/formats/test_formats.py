"""Files that every browser shows: what a picture does not need is passed over, and its orientation is found."""

import contextlib
import io
import struct
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from captioner.errors import ImageError, ImageTooLargeError, InvalidImageError, UnsupportedImageError
from captioner.formats.av1 import frame_pixels
from captioner.formats.boxes import coded_pictures
from captioner.formats.jpeg import MAX_SCANS, MAX_SEGMENTS
from captioner.formats.metadata import MAX_BLOCK_BYTES
from captioner.formats.png import MAX_CHUNKS
from captioner.images import ImageLimits, read_image

pytestmark = pytest.mark.slow

Pixels = NDArray[np.uint8]
END = b"\xff\xd9"


def smooth(width: int = 96, height: int = 64) -> Image.Image:
    y, x = np.mgrid[0:1:height * 1j, 0:1:width * 1j]  # fmt: skip
    return Image.fromarray(np.stack([255 * x, 255 * y, 255 * (1 - x)], axis=2).astype(np.uint8))


def noise(width: int = 96, height: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


STORED = smooth().transpose(Image.Transpose.ROTATE_90)  # as a camera stores it that was held upright: orientation 6


def encode(image: Image.Image, format_name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def pixels(data: bytes) -> Pixels:
    return np.asarray(read_image(data))


def is_upright(data: bytes) -> bool:
    image = read_image(data)
    if image.size != (96, 64):
        return False
    return bool(np.abs(np.asarray(image).astype(int) - np.asarray(smooth())).max() < 40)


def exif(orientation: int = 6) -> bytes:
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def segment(code: int, body: bytes) -> bytes:
    return b"\xff" + bytes([code]) + struct.pack(">H", len(body) + 2) + body


def jpeg_with(*segments: bytes, image: Image.Image = STORED) -> bytes:
    data = encode(image, "JPEG", quality=95)
    return data[:2] + b"".join(segments) + data[2:]


def chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png_with(*chunks: bytes, image: Image.Image = STORED, late: bool = False) -> bytes:
    data = encode(image, "PNG")
    place = len(data) - 12 if late else 33  # before the end, or after the header
    return data[:place] + b"".join(chunks) + data[place:]


def xmp(element: bool = False, quote: str = '"') -> bytes:
    inside = "<tiff:Orientation>6</tiff:Orientation>" if element else ""
    attribute = "" if element else f" tiff:Orientation={quote}6{quote}"
    return f"<x:xmpmeta><rdf:Description{attribute}>{inside}</rdf:Description></x:xmpmeta>".encode()


def raw_profile(name: str, block: bytes) -> bytes:
    digits = block.hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    return f"\n{name}\n{len(block):8d}\n{lines}\n".encode()


def text(keyword: bytes, value: bytes, kind: bytes = b"zTXt") -> bytes:
    between = {b"tEXt": b"\0", b"zTXt": b"\0\0", b"iTXt": b"\0\0\0en\0key\0"}
    return chunk(kind, keyword + between[kind] + (zlib.compress(value) if kind == b"zTXt" else value))


def itxt_compressed(keyword: bytes, value: bytes) -> bytes:
    return chunk(b"iTXt", keyword + b"\0\1\0\0\0" + zlib.compress(value))


TRAILERS = {
    "zeros": bytes(5000),
    "another photo": encode(noise(), "JPEG"),
    "starts of scans": b"\xff\xda\0\4ab" * 1000,
    "a film": b"\0\0\0\x18ftypmp42" + np.random.default_rng(0).bytes(6_000_000),
}


@pytest.mark.parametrize("trailer", TRAILERS)
@pytest.mark.parametrize("kind", ["JPEG", "progressive", "MPO", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_what_follows_a_picture_is_passed_over(kind: str, trailer: str) -> None:
    data = encode(smooth(), "JPEG", progressive=True) if kind == "progressive" else encode(smooth(), kind)
    assert np.array_equal(pixels(data + TRAILERS[trailer]), pixels(data))


def test_scans_are_counted_up_to_the_end_of_the_picture_alone() -> None:
    thumbnail = segment(0xE1, b"Thumbnail" + b"\xff\xda" * 1000)
    assert np.array_equal(pixels(jpeg_with(thumbnail)), pixels(jpeg_with()))
    data = encode(smooth(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    hidden = data[:last] + data[last:-2] * (MAX_SCANS + 1)
    for end in (END, b"", segment(0xE1, END) + END):
        with pytest.raises(InvalidImageError, match=f"more than {MAX_SCANS} scans"):
            read_image(hidden + end)


def test_segments_are_limited_and_read_in_no_time() -> None:
    many = segment(0xE1, b"Exif\0\0" + bytes(60_000)) * 320  # each of which Pillow would append to those before
    start = time.perf_counter()
    assert np.array_equal(pixels(jpeg_with(many)), pixels(jpeg_with()))
    with pytest.raises(InvalidImageError, match="segments"):
        read_image(jpeg_with(segment(0xFE, b"") * (MAX_SEGMENTS + 1)))
    with pytest.raises(InvalidImageError):
        read_image(b"\xff\xd8\xff\xe0\0\4ab" + b"\xff" * 5_000_000)
    assert time.perf_counter() - start < 3


JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "grey": {"mode": "L"},
    "cmyk": {"mode": "CMYK"},
    "full colour": {"subsampling": 0},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "one interval": {"restart_marker_rows": 1},
    "progressive restarts": {"progressive": True, "restart_marker_rows": 1},
}


def jpeg(kind: str, picture: Callable[..., Image.Image] = noise) -> bytes:
    options = dict(JPEGS[kind])
    return encode(picture(75, 52).convert(options.pop("mode", "RGB")), "JPEG", **options)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_may_lack_its_end_marker(kind: str) -> None:
    data = jpeg(kind)
    for cut in (data[:-2], data[:-1], data[:-2] + bytes(700), data[:-2] + b"\xff" * 9):
        assert np.array_equal(pixels(cut), pixels(data))


@pytest.mark.parametrize("picture", [noise, smooth])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_more_is_refused_unless_no_pixel_depends_on_it(kind: str, picture: Any) -> None:
    data = jpeg(kind, picture)
    whole, refused = pixels(data), 0
    lengths = sorted({*range(len(data) - 40, len(data)), *range(100, len(data), max(1, len(data) // 60))})
    for length in lengths:
        for filling in (b"", bytes(300)):
            try:
                read = pixels(data[:length] + filling)
            except ImageError:
                refused += 1
                continue
            assert np.array_equal(read, whole), length
            assert len(data) - length < 12  # the end marker, filling, and what no pixel shows
    assert refused > len(lengths)


@pytest.mark.parametrize("kind", ["restarts", "one interval", "progressive restarts", "progressive"])
def test_a_jpeg_cut_off_between_two_parts_is_refused(kind: str) -> None:
    data = jpeg(kind)
    places = [at for at in range(600, len(data) - 2) if data[at] == 0xFF and data[at + 1] not in (0, 0xFF)]
    assert len(places) > 2
    for place in places:
        for length in (place, place + 2):
            with pytest.raises(InvalidImageError):
                read_image(data[:length])


def test_exif_may_stand_twice() -> None:
    once, twice = (b"Exif\0\0" * number + exif() for number in (1, 2))
    assert is_upright(jpeg_with(segment(0xE1, once)))
    assert is_upright(jpeg_with(segment(0xE1, twice)))
    assert is_upright(jpeg_with(segment(0xE1, b"Exif\0\0nonsense"), segment(0xE1, once)))
    for number in range(3):
        assert is_upright(png_with(chunk(b"eXIf", b"Exif\0\0" * number + exif())))
    webp = encode(STORED, "WEBP", lossless=True, exif=twice)
    assert is_upright(webp)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
@pytest.mark.parametrize("name", ["exif", "APP1"])
def test_orientation_in_the_profiles_of_imagemagick(name: str, kind: bytes, late: bool) -> None:
    keyword = b"Raw profile type " + name.encode()
    for block in (exif(), b"Exif\0\0" + exif(), b"Exif\0\0" * 2 + exif() + bytes(3000)):
        assert is_upright(png_with(text(keyword, raw_profile(name.lower(), block), kind), late=late))
    packet = raw_profile("app1", b"http://ns.adobe.com/xap/1.0/\0" + xmp())
    assert is_upright(png_with(text(b"Raw profile type APP1", packet, kind), late=late))


@pytest.mark.parametrize("packet", [xmp(), xmp(quote="'"), xmp(element=True)])
def test_orientation_in_xmp_alone(packet: bytes) -> None:
    in_app1 = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)
    assert is_upright(jpeg_with(in_app1))
    assert is_upright(jpeg_with(segment(0xE1, b"Exif\0\0" + exif(0)), in_app1))
    assert is_upright(png_with(text(b"XML:com.adobe.xmp", packet, b"iTXt")))
    assert is_upright(png_with(itxt_compressed(b"XML:com.adobe.xmp", packet), late=True))
    assert is_upright(encode(STORED, "WEBP", lossless=True, xmp=packet))


def test_exif_is_trusted_more_than_xmp() -> None:
    app1 = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp())
    right = segment(0xE1, b"Exif\0\0" + exif(1))
    assert read_image(jpeg_with(app1, right)).size == STORED.size
    packet = text(b"XML:com.adobe.xmp", xmp(), b"iTXt")
    assert read_image(png_with(packet, chunk(b"eXIf", exif(1)))).size == STORED.size


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\nexif\n",
        b"\nexif\n 8\n",
        b"\nexif\n 8\nxyz",
        b"\nexif\n 8\n4578696",
        raw_profile("exif", b"Exif\0\0II*\0"),
    ],
)
def test_a_damaged_profile_leaves_a_good_picture_as_it_is(value: bytes) -> None:
    for kind in (b"tEXt", b"zTXt", b"iTXt"):
        assert read_image(png_with(text(b"Raw profile type exif", value, kind))).size == STORED.size
    assert read_image(png_with(chunk(b"zTXt", b"Raw profile type exif\0\0nonsense"))).size == STORED.size


def test_what_a_png_carries_is_not_inflated() -> None:
    bomb = zlib.compress(bytes(20_000_000))
    for carried in (
        chunk(b"iCCP", b"profile\0\0" + bomb),
        chunk(b"zTXt", b"Comment\0\0" + bomb),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
        text(b"XML:com.adobe.xmp", b"<x>" + b"a" * 4_000_000, b"iTXt"),
    ):
        for late in (False, True):
            data = png_with(carried, image=smooth(), late=late)
            tracemalloc.start()
            assert np.array_equal(pixels(data), np.asarray(smooth()))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 2 * len(data) + 4 * MAX_BLOCK_BYTES


def test_many_texts_are_inflated_in_no_time() -> None:
    one = text(b"Raw profile type exif", bytes(2**22))
    other = itxt_compressed(b"XML:com.adobe.xmp", bytes(2**22))
    start = time.perf_counter()
    assert np.array_equal(pixels(png_with((one + other) * 1000, image=smooth())), np.asarray(smooth()))
    assert time.perf_counter() - start < 1


def test_chunks_are_limited() -> None:
    with pytest.raises(InvalidImageError, match="chunks"):
        read_image(png_with(chunk(b"tEXt", b"") * (MAX_CHUNKS + 1)))


@pytest.mark.parametrize(
    "kind", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"gAMA", b"pHYs", b"tIME", b"prVt", b"tRNS"]
)
@pytest.mark.parametrize("late", [False, True])
def test_a_wrong_checksum_in_a_chunk_that_is_not_needed(kind: bytes, late: bool) -> None:
    data = png_with(chunk(kind, b"broken, and of a length that is none of a number's", checksum=1), late=late)
    assert np.array_equal(pixels(data), np.asarray(STORED))


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE"])
def test_a_wrong_checksum_in_a_needed_chunk_is_refused(kind: bytes) -> None:
    data = bytearray(encode(smooth().quantize(16), "PNG"))
    (length,) = struct.unpack_from(">I", data, data.index(kind) - 4)
    data[data.index(kind) + 4 + length] ^= 1
    with pytest.raises(InvalidImageError):
        read_image(bytes(data))


def test_transparency_and_palette_are_needed() -> None:
    picture = Image.new("P", (16, 16), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.paste(0, (0, 0, 8, 16))
    read = pixels(encode(picture, "PNG", transparency=1))
    assert (read[:, 8:] == 255).all()
    assert (read[:, :8] == 0).all()


def test_pngs_of_many_pieces_and_of_animations_keep_their_picture() -> None:
    data = encode(noise(), "PNG")
    start = data.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">I", data, start)
    body = data[start + 8 : start + 8 + length]
    parts = b"".join(chunk(b"IDAT", body[at : at + 100]) for at in range(0, length, 100))
    assert np.array_equal(pixels(data[:start] + parts + data[start + 12 + length :]), np.asarray(noise()))
    animated = encode(noise(), "PNG", save_all=True, append_images=[smooth()])
    assert np.array_equal(pixels(animated), np.asarray(noise()))
    apart = encode(noise(), "PNG", save_all=True, default_image=True, append_images=[smooth()])
    assert np.array_equal(pixels(apart), np.asarray(noise()))


def test_files_of_pillow_with_all_metadata_are_read_as_without() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "a title" * 1000, zip=True)
    carried = {"pnginfo": info, "dpi": (72, 72), "icc_profile": b"profile" * 1000}
    assert np.array_equal(pixels(encode(noise(), "PNG", **carried)), np.asarray(noise()))
    plain = encode(noise(), "JPEG")
    full = encode(noise(), "JPEG", comment=b"words", dpi=(72, 72), icc_profile=b"p" * 200_000, xmp=b"<x/>")
    assert np.array_equal(pixels(full), pixels(plain))


def test_avif_is_read_upright() -> None:
    read = pixels(encode(smooth(), "AVIF", quality=95))
    assert np.abs(read.astype(int) - np.asarray(smooth())).max() < 12
    assert read_image(encode(smooth(), "AVIF")).format == "AVIF"
    tagged = Image.Exif()
    tagged[0x0112] = 6
    turned = encode(STORED, "AVIF", quality=95, exif=tagged)
    assert b"irot" in turned
    assert is_upright(turned)
    see_through = smooth()
    see_through.putalpha(0)
    assert (pixels(encode(see_through, "AVIF")) > 250).all()


def test_a_container_s_brand_is_told_by_what_it_can_do() -> None:
    data = encode(smooth(), "AVIF")
    assert np.array_equal(pixels(data.replace(b"ftypavif", b"ftypmif1", 1)), pixels(data))
    with pytest.raises(UnsupportedImageError, match="video"):
        read_image(data.replace(b"ftypavif", b"ftypmp42", 1))


def declared(data: bytes, old: tuple[int, int], new: tuple[int, int]) -> bytes:
    """Let a file of ISO media tell another size than that of its coded picture."""
    assert struct.pack(">II", *old) in data
    return data.replace(struct.pack(">II", *old), struct.pack(">II", *new))


@pytest.mark.parametrize("options", [{}, {"save_all": True, "append_images": [smooth(400, 300)]}])
def test_avif_is_limited_by_what_would_be_decoded(options: dict[str, Any]) -> None:
    data = encode(smooth(400, 300), "AVIF", **options)
    limits = ImageLimits(max_pixels=119_999)
    start = time.perf_counter()
    with pytest.raises(ImageTooLargeError, match="400 x 300"):
        read_image(data, limits)
    for told in ((96, 64), (400, 64)):
        with pytest.raises(ImageTooLargeError, match="120000 pixels"):
            read_image(declared(data, (400, 300), told), limits)
    assert time.perf_counter() - start < 0.5
    assert read_image(data, ImageLimits(max_pixels=120_000)).size == (400, 300)


def test_every_way_to_say_the_size_of_an_av1_frame_counts() -> None:
    [coded] = coded_pictures(encode(smooth(400, 300), "AVIF"))
    assert list(frame_pixels(coded)) == [400 * 300]
    assert list(frame_pixels(coded + coded)) == [400 * 300] * 2  # a frame that is not shown costs as much
    short = bytes([0b0_0001_0_1_0, 4, 0b000_1_1_000, 0b00_0011_00, 0b11_0111_11, 0b11_000000])  # 4 bits each: 8 x 16
    assert list(frame_pixels(short + bytes([0b0_0110_0_1_0, 1, 0]))) == [8 * 16]
    with pytest.raises(ValueError, match="cut off"):
        list(frame_pixels(short[:3]))


@pytest.mark.parametrize("overrides", [0, 1])
def test_a_frame_with_a_size_of_its_own_counts_as_the_largest_it_may_have(overrides: int) -> None:
    header = "00000" + "0" + "0" + "00000" + "0" * 12 + "00000"  # no timing, one operating point
    size = "11111111" + f"{99:016b}" + f"{49:016b}"  # 16 bits each, for 100 x 50
    tools = "0" + "0" * 7 + "0" + "00"  # no numbers, no order, no tools for screens
    frame = "00010" + str(overrides)  # a key frame that is shown
    data = b""
    for kind, bits in ((1, header + size + tools), (6, frame)):
        length = len(bits) // 8 + 1
        body = int(bits.ljust(8 * length, "0"), 2).to_bytes(length, "big")
        data += bytes([kind << 3 | 2, len(body)]) + body
    assert list(frame_pixels(data)) == [2**32 if overrides else 5000]


def test_without_the_extra_a_heic_says_which_one_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("captioner.formats.iso_media.find_spec", lambda _: None)
    for data in (b"\0\0\0\x18ftypheic" + bytes(20), b"\0\0\0\x18ftypmif1" + bytes(20)):
        with pytest.raises(UnsupportedImageError, match="extra 'heif'"):
            read_image(data)
    with pytest.raises(UnsupportedImageError, match=r"BMP, AVIF$"):
        read_image(b"no image")


def heic(image: Image.Image, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=95, **options)
    return file.getvalue()


def test_heic_is_read_upright_and_limited() -> None:
    data = heic(smooth())
    assert read_image(data).format == "HEIC"
    assert np.abs(pixels(data).astype(int) - np.asarray(smooth())).max() < 16
    pixi = struct.pack(">I4sI", 16, b"pixi", 0) + bytes([3, 8, 8, 8])
    stored = heic(STORED)
    assert pixi in stored
    assert is_upright(stored.replace(pixi, struct.pack(">I4s", 16, b"irot") + bytes([3]) + bytes(7)))
    large = heic(smooth(400, 300))
    with pytest.raises(ImageTooLargeError, match="400 x 300"):
        read_image(large, ImageLimits(max_pixels=119_999))
    with pytest.raises(ImageError):
        read_image(declared(large, (400, 300), (96, 64)), ImageLimits(max_pixels=119_999))


def test_reading_heic_leaves_pillow_as_it_was() -> None:
    before = set(Image.ID)
    read_image(heic(smooth()))
    assert set(Image.ID) == before
    assert "pillow_heif" in sys.modules


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_truncated_and_mutated_iso_media_raise_nothing_but_image_errors(kind: str) -> None:
    data = encode(smooth(), "AVIF") if kind == "AVIF" else heic(smooth())
    random = np.random.default_rng(0)
    for length in range(0, len(data), max(1, len(data) // 100)):
        with pytest.raises(ImageError):
            read_image(data[:length])
    for _ in range(200):
        mutated = bytearray(data)
        for place in random.integers(0, min(len(data), 600), 3):
            mutated[place] = random.integers(0, 256)
        with contextlib.suppress(ImageError):
            read_image(bytes(mutated), ImageLimits(max_pixels=100_000))
