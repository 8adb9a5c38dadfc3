"""From a file of captions and a folder to photos: ids, splits, lists, and what is left out."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from captioner.errors import ConfigError
from training.data import CaptionSource, load_captioned_images, source
from training.errors import DataError
from training.recipe import DataRecipe, Recipe, load_recipe


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        (tmp_path / name).touch()
    return tmp_path


def write_table(folder: Path, rows: Sequence[str], header: str = "file,caption,split") -> Path:
    (folder / "captions.csv").write_text("\n".join([header, *rows]))
    return folder / "captions.csv"


def test_photos_come_by_id_with_all_their_captions(dataset: Path) -> None:
    images = load_captioned_images(dataset / "train.json", dataset / "train")
    assert [image.image_id for image in images] == list(range(1000, 1014))
    assert images[3].captions == (
        "the ball runs on the grass",
        "the ball plays on the grass .",
        "the ball is on the grass",
    )
    assert images[3].path == dataset / "train" / "3.png"


def test_photos_that_cannot_be_used_are_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"14 of 14 photos are missing, such as .*0\.png"):
        load_captioned_images(dataset / "train.json", tmp_path)
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"images": [{"id": 1, "file_name": "x.jpg"}], "annotations": []}))
    with pytest.raises(DataError, match="no image in it has a caption"):
        load_captioned_images(empty, tmp_path)


def test_empty_captions_and_photos_without_captions_are_left_out(photos: Path) -> None:
    table = write_table(photos, ["a.jpg, ", "b.jpg,x", "b.jpg,", "missing.jpg,"], "file,caption")
    [image] = load_captioned_images(table, photos)
    assert (image.path.name, image.captions) == ("b.jpg", ("x",))


def test_ids_made_from_names_depend_on_the_name_alone(photos: Path) -> None:
    rows = [f"{name}.jpg,x" for name in "abcd"]
    ids = {
        image.path.name: image.image_id
        for image in load_captioned_images(write_table(photos, rows, "file,caption"), photos)
    }
    assert len(set(ids.values())) == 4
    assert all(0 <= image_id < 2**source.ID_BITS for image_id in ids.values())
    rows = rows[2:] + rows[:2]
    for image in load_captioned_images(write_table(photos, rows[:3], "file,caption"), photos):
        assert image.image_id == ids[image.path.name]


def test_two_photos_of_one_id_are_refused(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "id_of", lambda _: 7)
    with pytest.raises(DataError, match=r"a\.jpg and b\.jpg have the same id 7"):
        load_captioned_images(write_table(photos, ["a.jpg,x", "b.jpg,y"], "file,caption"), photos)


def names(table: Path, *split: str) -> list[str]:
    return sorted(image.path.name for image in load_captioned_images(table, table.parent, split))


def test_splits_are_chosen_by_name(photos: Path) -> None:
    table = write_table(photos, ["a.jpg,x,train", "b.jpg,y,restval", "c.jpg,z,val"])
    assert names(table, "train", "restval") == ["a.jpg", "b.jpg"]
    assert names(table, "val") == ["c.jpg"]
    with pytest.raises(
        DataError, match=r"the splits restval \(1 photos\), train \(1 photos\), val .*; name those to use"
    ):
        names(table)
    with pytest.raises(DataError, match=r"no split 'test'; its splits are .*test is no file that lists photos"):
        names(table, "test")
    assert names(write_table(photos, ["a.jpg,x,train"])) == ["a.jpg"]


def test_splits_are_chosen_by_lists_of_photos(photos: Path) -> None:
    table = photos / "Flickr8k.token.txt"
    table.write_text("".join(f"{name}.jpg#0\tA {name} .\n" for name in "abcd"))
    (photos / "train.txt").write_text("b.jpg\r\nd.jpg\r\n\r\n")
    (photos / "more").write_text("a\nb\n")
    assert names(table, "train.txt") == ["b.jpg", "d.jpg"]
    assert names(table, "train.txt", "more") == ["a.jpg", "b.jpg", "d.jpg"]
    assert names(table) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    (photos / "more").write_text("a\n\nmissing\n")
    with pytest.raises(DataError, match=r"more, line 3: .* has no photo of the name 'missing'"):
        names(table, "more")


def test_a_list_must_name_one_photo_a_line(tmp_path: Path) -> None:
    table = write_table(tmp_path, ["1/a.jpg,x", "2/a.jpg,y"], "file,caption")
    (tmp_path / "list").write_text("2/a.jpg\n")
    assert [entry.file for entry in CaptionSource(table, tmp_path, ("list",)).entries().values()] == ["2/a.jpg"]
    (tmp_path / "list").write_text("a\n")
    (tmp_path / "odd").write_text("a.jpg\n")
    with pytest.raises(DataError, match=r"odd, line 1: .* has several photos of the name 'a\.jpg'"):
        CaptionSource(table, tmp_path, ("odd",)).entries()
    with pytest.raises(DataError, match=r"list, line 1: .* has several photos of the name 'a'"):
        CaptionSource(table, tmp_path, ("list",)).entries()


def test_a_recipe_names_split_and_format(photos: Path, tmp_path: Path) -> None:
    table = write_table(photos, ["a.jpg,x,train", "b.jpg,y,restval", "c.jpg,z,val"])
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'name = "x"\n[data]\nroot = "{photos}"\ntrain_images = "."\nval_images = "."\nval_split = "val"\n'
        f'train_annotations = "{table.name}"\nval_annotations = "{table.name}"\ntrain_split = ["train", "restval"]\n'
    )
    data = load_recipe(recipe, ["data.val_format=csv"]).data
    assert data.source("val") == CaptionSource(table, photos / ".", ("val",), "csv")
    assert [len(data.source(part).load()) for part in ("train", "val")] == [2, 1]
    with pytest.raises(ConfigError, match="unknown caption format 'tsv'; choose one of: coco, "):
        load_recipe(recipe, ["data.train_format=tsv"])
    with pytest.raises(ConfigError, match=r"data\.train_split"):
        load_recipe(recipe, ["data.train_split=[1]"])


def test_a_recipe_without_splits_takes_all(recipe: Recipe) -> None:
    found = recipe.data.source("train")
    assert isinstance(found, CaptionSource)
    assert found.split == ()
    assert isinstance(recipe.data, DataRecipe)
    assert len(recipe.data.source("val").load()) == 5
