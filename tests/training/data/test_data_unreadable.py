"""Photos that are missing or cannot be read: hinted at, or left out and listed, always the same ones."""

import json
import unicodedata
from pathlib import Path

import pytest

from captioner.config import from_dict, to_dict
from captioner.errors import ConfigError
from captioner.images import read_image
from tests.support.pictures import noise_image
from training.data import CaptionedImage, load_captioned_images
from training.errors import DataError
from training.recipe import Recipe
from training.runs.start import start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four photos, of which one is cut, one is no picture, and a fifth that is missing."""
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(["a.png", "b.png"]):
        noise_image(seed).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "cut.png").write_bytes((tmp_path / "photos" / "a.png").read_bytes()[:90])
    (tmp_path / "photos" / "text.png").write_text("no picture")
    rows = [f"{name}.png,a {name}" for name in ("a", "cut", "b", "missing", "text")]
    (tmp_path / "captions.csv").write_text("\n".join(["file,caption", *rows]))
    return tmp_path


def load(folder: Path, unreadable: str = "skip") -> list[CaptionedImage]:
    return load_captioned_images(folder / "captions.csv", folder / "photos", unreadable=unreadable)  # type: ignore[arg-type]


def test_bad_photos_are_left_out_and_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = load(folder)
    assert {image.path.name for image in images} == {"a.png", "b.png"}
    assert all(read_image(image.path.read_bytes()) for image in images)
    told = capsys.readouterr().err
    assert "3 of 5 photos cannot be read, and are left out" in told
    assert all(f"{name}.png: " in told for name in ("cut", "missing", "text"))
    assert not any(f"/{name}.png: " in told for name in "ab")
    assert load(folder) == images
    for bad in ("cut", "text"):
        noise_image(9).save(folder / "photos" / f"{bad}.png")
    mended = load(folder)
    assert [image for image in mended if image in images] == images  # the others keep ids and order


def test_a_set_without_any_photo_is_an_error_even_so(folder: Path) -> None:
    with pytest.raises(DataError, match=r"none of its 5 photos can be read, such as(?s:.*)no such file"):
        load_captioned_images(folder / "captions.csv", folder / "elsewhere", unreadable="skip")


def test_without_being_told_nothing_is_left_out(folder: Path) -> None:
    with pytest.raises(DataError, match=r"1 of 5 photos are missing, such as .*missing\.png"):
        load(folder, "error")


def test_a_recipe_says_what_to_do(recipe: Recipe, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    values = to_dict(recipe)
    root = Path(recipe.data.root)
    for part in ("train", "val"):  # the same captions, and photos of which the first is cut
        (tmp_path / part).mkdir()
        for photo in (root / part).iterdir():
            (tmp_path / part / photo.name).write_bytes(photo.read_bytes())
        first = min((tmp_path / part).iterdir())
        first.write_bytes(first.read_bytes()[:90])
        (tmp_path / f"{part}.json").write_bytes((root / f"{part}.json").read_bytes())
    values["data"] |= {"root": str(tmp_path), "unreadable": "skip", "mirror": False}
    trainer = start(from_dict(Recipe, values))
    assert (len(trainer.task.bench.images), len(trainer.task.bench.val_images)) == (13, 4)
    assert trainer.task.bench.provenance["data"]["train_images"] == 13
    assert capsys.readouterr().err.count("1 of ") == 2
    with pytest.raises(ConfigError, match=r"data\.unreadable"):
        from_dict(Recipe, values | {"data": values["data"] | {"unreadable": "ignore"}})


@pytest.mark.parametrize(
    ("listed", "there"),
    [
        ("Beach/A.JPG", "beach/a.jpg"),
        (unicodedata.normalize("NFD", "été.jpg"), unicodedata.normalize("NFC", "été.jpg")),
        ("beach\\a.jpg", "beach/a.jpg"),
        ("train2014/a.jpg", "a.jpg"),
        ("a.jpg", "train2014/a.jpg"),
    ],
)
def test_a_name_that_is_nearly_right_is_hinted_at(listed: str, there: str, tmp_path: Path) -> None:
    (tmp_path / "photos" / there).parent.mkdir(parents=True)
    (tmp_path / "photos" / there).touch()
    (tmp_path / "captions.json").write_text(json.dumps([{"image": listed, "caption": "a dog"}]))
    with pytest.raises(DataError) as caught:
        load_captioned_images(tmp_path / "captions.json", tmp_path / "photos")
    other = ", in another Unicode form" if unicodedata.normalize("NFC", listed) == there else ""
    assert f"(did you mean {there!r}{other}?)" in str(caught.value)


def test_of_several_names_none_is_meant(tmp_path: Path) -> None:
    for name in ("one/a.jpg", "two/a.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "captions.json").write_text(json.dumps([{"image": "a.jpg", "caption": "a dog"}]))
    with pytest.raises(DataError) as caught:
        load_captioned_images(tmp_path / "captions.json", tmp_path)
    assert "did you mean" not in str(caught.value)


def test_lists_of_photos_are_hinted_at_too(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("file,caption\nDir/A.jpg,x\n")
    (tmp_path / "list").write_text("dir\\a.jpg\n")
    with pytest.raises(DataError, match=r"no photo of the name .*\(did you mean 'Dir/A\.jpg'\?\)"):
        load_captioned_images(tmp_path / "captions.csv", tmp_path, ["list"])


def test_ids_that_are_texts_come_back_in_results(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "captions.json").write_text(json.dumps([{"image": "a.jpg", "caption": "x", "image_id": "coco_0"}]))
    [image] = load_captioned_images(tmp_path / "captions.json", tmp_path)
    assert image.public_id == image.text_id == "coco_0"
    assert isinstance(image.image_id, int)
