"""Captions in photos, as exiftool reads them, and pictures that must not change."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from captioner.errors import MetadataError
from captioner.metadata import photos as photos_module
from captioner.metadata.coded import coded_picture
from captioner.metadata.embedded import read_embedded
from captioner.metadata.exiftool import ExifTool
from captioner.metadata.photos import Photos
from captioner.metadata.record import Found, Record
from captioner.metadata.webp import with_xmp
from tests.support.metadata import SCRIPTS, exiftool
from tests.support.pictures import noise_image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool on the PATH"),
]
RECORD = Record("a dog runs", "flickr8k", "3", "f" * 64, 0.75, False)
KINDS = (
    "plain.jpg", "progressive.jpg", "phone.jpg", "two.jpg", "plain.png", "alpha.png", "lossy.webp", "lossless.webp",
    "alpha.webp", "turned.webp",
)  # fmt: skip


@pytest.fixture(scope="module")
def places() -> Iterator[Photos]:
    with ExifTool() as tool:
        yield Photos(tool)


def photo(folder: Path, kind: str) -> Path:
    """Save a picture that nothing but its kind depends on."""
    path, picture = folder / kind, noise_image(3, 91, 61)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera & Söhne"
    name = path.stem
    if name == "alpha":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    if name == "two":
        picture.save(path, "MPO", save_all=True, append_images=[noise_image(4, 40, 30)])
    elif path.suffix == ".jpg":
        options: dict[str, Any] = {"exif": exif, "icc_profile": b"profile", "comment": "c"} if name == "phone" else {}
        picture.save(path, quality=80, progressive=name == "progressive", **options)
    elif path.suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", "by hand")
        picture.save(path, pnginfo=text)
    else:
        picture.save(path, lossless=name == "lossless", exif=exif if name == "turned" else b"")
    return path


def pixels(path: Path) -> list[Any]:
    frames = []
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(np.asarray(image).copy())
    return frames


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_the_same_before_and_after(kind: str, tmp_path: Path, places: Photos) -> None:
    path = photo(tmp_path, kind)
    before, others = pixels(path), exiftool(path)
    places.write(path, RECORD)
    assert places.found(path) == Found(replace(RECORD, replaced={}), "")
    written = exiftool(path)
    assert places.remove(path)
    assert places.found(path) == Found()
    for found in (pixels(path), before):
        assert all(np.array_equal(one, other) for one, other in zip(found, before, strict=True))
    assert written["XMP-dc:Description"] == "a dog runs"
    kept = {name: value for name, value in others.items() if name.split(":")[0] in ("IFD0", "PNG", "ICC_Profile")}
    assert all(written[name] == value for name, value in kept.items() if "Byte" not in name), kept
    assert not places.remove(path)


@pytest.mark.parametrize("kind", ["phone.jpg", "plain.png", "lossy.webp"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_exiftool_reads_every_script(kind: str, script: str, tmp_path: Path, places: Photos) -> None:
    path, text = photo(tmp_path, kind), SCRIPTS[script]
    places.write(path, replace(RECORD, text=text))
    found = exiftool(path)
    expected = {"XMP-dc:Description", "XMP-captioner:Text"}
    expected |= {"IFD0:ImageDescription"} if path.suffix != ".webp" else set()
    expected |= {"IPTC:Caption-Abstract"} if path.suffix == ".jpg" else set()
    assert {name for name, value in found.items() if value == text} == expected
    assert (found["XMP-captioner:Model"], str(found["XMP-captioner:Version"])) == ("flickr8k", "3")
    assert float(found["XMP-captioner:Confidence"]) == 0.75
    assert places.found(path).person == ""


@pytest.mark.parametrize("tag", ["XMP-dc:Description", "IPTC:Caption-Abstract", "EXIF:ImageDescription"])
@pytest.mark.parametrize("text", [*SCRIPTS.values(), "two\nlines, $5 @home 50%"])
def test_a_person_s_words_are_seen_in_each_field_and_come_back(
    tag: str, text: str, tmp_path: Path, places: Photos
) -> None:
    path = photo(tmp_path, "phone.jpg")
    given = tmp_path / "text"
    given.write_text(text)
    command = ["exiftool", "-q", "-overwrite_original", "-IPTC:CodedCharacterSet=UTF8", f"-{tag}<={given}", str(path)]
    subprocess.run(command, check=True)
    before = exiftool(path)
    assert places.found(path).person == text
    places.write(path, RECORD)
    assert places.found(path).person == ""
    places.write(path, replace(RECORD, text="two dogs", version="4"))
    places.remove(path)
    assert places.found(path) == Found(None, text)
    name = tag.replace("EXIF", "IFD0")
    assert exiftool(path)[name] == before[name]


def test_what_a_camera_writes_is_no_person_s(tmp_path: Path, places: Photos) -> None:
    path, exif = tmp_path / "a.jpg", Image.Exif()
    exif[0x010E] = "OLYMPUS DIGITAL CAMERA         "
    noise_image(1).save(path, exif=exif)
    assert places.found(path).person == ""
    places.write(path, RECORD)
    assert exiftool(path)["IFD0:ImageDescription"] == "a dog runs"
    places.remove(path)
    assert exiftool(path)["IFD0:ImageDescription"].strip() == "OLYMPUS DIGITAL CAMERA"


def test_older_iptc_in_latin_1_stays_readable(tmp_path: Path, places: Photos) -> None:
    path = photo(tmp_path, "plain.jpg")
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-IPTC:City=Köln", str(path)], check=True)
    places.write(path, replace(RECORD, text=SCRIPTS["Cyrillic"]))
    found = exiftool(path)
    assert (found["IPTC:City"], found.get("IPTC:Caption-Abstract")) == ("Köln", None)
    assert found["XMP-dc:Description"] == SCRIPTS["Cyrillic"]


def test_permissions_links_and_times(tmp_path: Path) -> None:
    path = photo(tmp_path, "plain.jpg")
    path.chmod(0o640)
    os.utime(path, (10**9, 10**9))
    link = tmp_path / "link.jpg"
    link.symlink_to(path)
    with ExifTool() as tool:
        Photos(tool, keep_times=True).write(link, RECORD)
        assert link.is_symlink()
        assert (path.stat().st_mode & 0o777, path.stat().st_mtime) == (0o640, 10**9)
        Photos(tool).remove(path)
    assert path.stat().st_mode & 0o777 == 0o640
    assert time.time() - path.stat().st_mtime < 600
    assert {one.name for one in tmp_path.iterdir()} == {"plain.jpg", "link.jpg"}


@pytest.mark.parametrize("name", ["%d%f 50%.jpg", "-x.jpg", "#a $b @c.jpg", " ", "собака\udcff.jpg"])
def test_strange_names(name: str, tmp_path: Path, places: Photos) -> None:
    path = photo(tmp_path, "plain.jpg").rename(tmp_path / name)
    places.write(path, RECORD)
    assert places.found(path).record == RECORD
    assert len(list(tmp_path.iterdir())) == 1


def test_what_would_change_the_picture_is_not_put_in_its_place(
    tmp_path: Path, places: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = photo(tmp_path, "lossy.webp")
    before, other = path.read_bytes(), photo(tmp_path, "lossless.webp").read_bytes()
    monkeypatch.setattr(photos_module, "with_xmp", lambda _, xmp: with_xmp(other, xmp))
    with pytest.raises(MetadataError, match="picture itself"):
        places.write(path, RECORD)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", ["a.gif", "a.bmp", "a.avif"])
def test_other_formats_are_refused(name: str, tmp_path: Path, places: Photos) -> None:
    path = tmp_path / name
    noise_image(1).save(path)
    before = path.read_bytes()
    with pytest.raises(MetadataError, match="JPEG, PNG and WebP alone"):
        places.write(path, RECORD)
    assert path.read_bytes() == before


def test_a_damaged_photo_is_left_as_it_is(tmp_path: Path, places: Photos) -> None:
    path = photo(tmp_path, "plain.jpg")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(MetadataError):
        places.write(path, RECORD)
    assert path.stat().st_size == 60
    assert read_embedded(path).iptc == ""


def test_a_coded_picture_is_all_but_metadata(tmp_path: Path) -> None:
    path = photo(tmp_path, "phone.jpg")
    names = [name for name, _ in coded_picture(path.read_bytes())]
    assert (b"\xe1" in names, names[-1], b"\xe2" in names) == (False, b"\xda", True)
    flipped = bytearray(path.read_bytes())
    flipped[-20] ^= 1
    assert coded_picture(bytes(flipped)) != coded_picture(path.read_bytes())
