"""Captioned photos in WebDataset shards: the same as in a folder, or an error that says where."""

import io
from pathlib import Path
from typing import Any

import pytest

from captioner.errors import ConfigError
from tests.support.pictures import noise_image
from tests.support.shards import write_shards, write_tar
from training.data import CaptionedImage, ShardSource, load_captioned_images
from training.data.shards import captions_sha256, samples
from training.errors import DataError
from training.recipe import DataRecipe

PHOTO = b"as good as a photo"


def load(folder: Path, *patterns: str, **values: str) -> list[CaptionedImage]:
    return ShardSource(patterns or ("*.tar",), folder, **values).load()  # type: ignore[arg-type]


def test_they_are_what_a_folder_with_a_file_of_captions_is(dataset: Path, tmp_path: Path) -> None:
    images = load_captioned_images(dataset / "train.json", dataset / "train")
    write_shards(images, tmp_path, "train")
    found = load(tmp_path, "train-*.tar")
    assert [(one.image_id, one.public_id, one.captions) for one in found] == [
        (one.image_id, one.public_id, one.captions) for one in images
    ]
    assert [one.path.read_bytes() for one in found] == [one.path.read_bytes() for one in images]
    assert captions_sha256(found) == captions_sha256(images)
    assert captions_sha256(found[1:]) != captions_sha256(found)
    assert str(found[0].path) == f"{tmp_path}/train-0000.tar/001000.png"
    assert (found[0].path.name, found[0].path.is_file()) == ("001000.png", True)


@pytest.mark.parametrize(
    ("members", "captions"),
    [
        ({"a.txt": "a dog\n\n two dogs \n"}, ("a dog", "two dogs")),
        ({"a.json": '{"caption": "a dog", "width": 3}'}, ("a dog",)),
        ({"a.json": '{"captions": ["a dog", ""]}'}, ("a dog",)),
        ({"a.json": '["a dog", "a cat"]'}, ("a dog", "a cat")),
        ({"a.json": '"a dog"'}, ("a dog",)),
        ({"a.txt": "a cat", "a.json": '{"caption": "a dog"}'}, ("a dog",)),
        ({"a.txt": "a cat", "a.json": '{"width": 3}'}, ("a cat",)),
        ({"a.txt": "a cat", "a.json": '{"caption": null}'}, ("a cat",)),
        ({"a.TXT": "a dog", "a.cls": "7", "a.seg.png": b"", "b.jpg": PHOTO}, ("a dog",)),
    ],
)
def test_captions_in_every_form(members: dict[str, bytes | str], captions: tuple[str, ...], tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", {"a.jpg": PHOTO, **members})
    [image] = load(tmp_path)
    assert (image.captions, image.public_id) == (captions, "a")


def test_a_name_ends_at_its_first_dot_and_holds_its_folder(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "x.tar",
        {"v1.2/a.jpg": PHOTO, "v1.2/a.txt": "x", "v1.3/a.jpg": PHOTO, "v1.3/a.txt": "y", "._a.txt": "z", "README": "!"},
    )
    assert [sample.key for sample in samples(tmp_path / "x.tar")] == ["v1.2/a", "v1.3/a"]
    assert [(image.public_id, image.captions) for image in load(tmp_path)] == [("v1.2/a", ("x",)), ("v1.3/a", ("y",))]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.jpg": PHOTO}, r"\*\.tar: no photo in it has a caption; captions are"),
        ({"a.txt": "a dog"}, r"x\.tar/a: captions without a photo"),
        ({"a.jpg": PHOTO, "a.png": PHOTO, "a.txt": "x"}, r"a\.png: a second photo beside a\.jpg"),
        ({"a.jpg": PHOTO, "b.jpg": PHOTO, "a.txt": "x"}, r"a\.txt: its sample began elsewhere; sort the members"),
        ({"a.jpg": PHOTO, "a.json": "{"}, r"a\.json: no JSON"),
        ({"a.jpg": PHOTO, "a.json": '{"caption": 3}'}, r"a\.json: '3' is no text and no list of texts"),
        ({"a.jpg": PHOTO, "a.json": '[["x"]]'}, "is no text and no list of texts"),
        ({"a.jpg": PHOTO, "a.json": '{"image_id": 1.5, "caption": "x"}'}, r"image_id is 1\.5; it must be a whole"),
        ({"a.jpg": PHOTO, "a.txt": b"\xff"}, r"a\.txt: byte 0xff is not UTF-8"),
    ],
)
def test_what_cannot_be_used_is_named(members: dict[str, bytes | str], message: str, tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", members)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_shards_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"b-\{0\.\.9\}\.tar: no such shard; write \{000\.\.009\} as \*"):
        load(tmp_path, "b-{0..9}.tar")
    (tmp_path / "torn.tar").write_bytes(b"no tar")
    with pytest.raises(DataError, match=r"torn\.tar: not a readable tar file"):
        load(tmp_path)
    write_tar(tmp_path / "torn.tar", {"a.jpg": PHOTO, "a.txt": "x", "b.jpg": bytes(9999)})
    data = (tmp_path / "torn.tar").read_bytes()
    (tmp_path / "torn.tar").write_bytes(data[:4000])
    with pytest.raises(DataError, match=r"torn\.tar: not a readable tar file: unexpected end of data"):
        load(tmp_path)
    (tmp_path / "x.tar.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"a compressed shard cannot be read from the middle"):
        load(tmp_path, "x.tar.gz")


def test_a_photo_that_is_in_two_shards_is_refused(tmp_path: Path) -> None:
    for name in ("x.tar", "y.tar"):
        write_tar(tmp_path / name, {"a.jpg": PHOTO, "a.txt": "x"})
    with pytest.raises(DataError, match=r"x\.tar/a\.jpg and .*y\.tar/a\.jpg have the same id a"):
        load(tmp_path)
    assert len(load(tmp_path, "x.tar", "x.*")) == 1  # the same shard twice is one


def test_bad_photos_can_be_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = io.BytesIO()
    noise_image(1).save(good, "PNG")
    members: dict[str, bytes | str] = {
        "a.jpg": PHOTO,
        "a.txt": "x",
        "b.png": good.getvalue(),
        "b.txt": "y",
        "c.txt": "z",
    }
    write_tar(tmp_path / "x.tar", members)
    assert [image.public_id for image in load(tmp_path, unreadable="skip")] == ["b"]
    told = capsys.readouterr().err
    assert "1 of 2 photos cannot be read" in told
    assert f"{tmp_path}/x.tar/a.jpg" in told


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"data\.train_annotations is missing; name it, or data\.train_shards"),
        ({"train_annotations": "x"}, r"data\.train_images is missing"),
        ({"train_shards": "x.tar", "val_shards": ("y",), "train_split": "a"}, r"leave out data\.train_split"),
        ({"train_shards": "x.tar"}, r"data\.val_annotations is missing"),
    ],
)
def test_a_recipe_says_one_place(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DataRecipe("somewhere", **values)


def test_a_recipe_names_shards() -> None:
    data = DataRecipe("/data", train_shards="a-*.tar", val_shards=("b.tar", "c.tar"), unreadable="skip")
    assert data.source("train") == ShardSource(("a-*.tar",), Path("/data"), "skip")
    assert data.source("val") == ShardSource(("b.tar", "c.tar"), Path("/data"), "skip")
