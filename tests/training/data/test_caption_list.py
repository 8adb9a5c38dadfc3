"""Captions of a list of photos without references, in the format of COCO's results."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from captioner.commands.arguments import DEFAULTS
from captioner.predictor import CaptionPredictor
from training.__main__ import main


@pytest.fixture
def photo_list(dataset: Path, tmp_path: Path) -> Path:
    """The validation photos without their captions, the first of them a second time, as ids that are not in order."""
    images = json.loads((dataset / "val.json").read_text())["images"][::-1]
    images.append({"id": 7, "file_name": images[0]["file_name"], "coco_url": "https://example.org/7.png"})
    path = tmp_path / "image_info.json"
    path.write_text(json.dumps({"info": {}, "licenses": [], "images": images}))
    return path


def command(photos: Path, folder: Path, model: Path, out: Path) -> list[str]:
    return ["caption", "--list", str(photos), "--images", str(folder), "--checkpoint", str(model), "--out", str(out)]


def test_captions_are_what_cocos_tools_read(
    dataset: Path, photo_list: Path, small_checkpoint_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.json"
    assert main(command(photo_list, dataset / "val", small_checkpoint_file, out)) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    listed = json.loads(photo_list.read_text())["images"]
    assert [item["image_id"] for item in found] == [image["id"] for image in listed]
    predictor = CaptionPredictor.from_checkpoint(small_checkpoint_file)
    for item, image in zip(found, listed, strict=True):
        photo = (dataset / "val" / image["file_name"]).read_bytes()
        assert item == {"image_id": image["id"], "caption": predictor.caption(photo, DEFAULTS).text}
    with contextlib.redirect_stdout(None):
        loaded = COCO(str(photo_list)).loadRes(str(out))
    assert sorted(loaded.getImgIds()) == sorted(image["id"] for image in listed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image_info.json", "results.json"]


def test_a_photo_that_cannot_be_read_is_left_out_and_told(
    dataset: Path, photo_list: Path, small_checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "results.json"
    shutil.copytree(dataset / "val", folder)
    (folder / "22.png").write_bytes(b"nothing")
    assert main(command(photo_list, folder, small_checkpoint_file, out)) == 1
    assert 1022 not in [item["image_id"] for item in json.loads(out.read_text())]
    captured = capsys.readouterr()
    assert "image 1022" in captured.err
    assert "5 photos out of 6" in captured.out


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "images: a list is expected"),
        ([], "the list is empty"),
        ([{"id": 1, "file_name": "20.png"}] * 2, "the id 1 is there twice"),
        ([{"id": 1}], "'file_name' is missing"),
        ([{"id": 1, "file_name": "20.png"}, {"id": 2, "file_name": "none.png"}], "1 of 2 photos are not there"),
    ],
)
def test_wrong_lists_are_told_before_any_work(
    images: Any, message: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "list.json"
    photos.write_text(json.dumps({"images": images}))
    assert main(command(photos, dataset / "val", Path("no model"), tmp_path / "out.json")) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["out.txt", "nowhere/out.json"])
def test_results_need_a_place(name: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(command(Path("no list"), dataset / "val", Path("no model"), tmp_path / name))
    assert name in capsys.readouterr().err
