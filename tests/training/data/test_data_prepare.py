"""Zip files are unpacked whole and only where they may be; one command makes a data set that a recipe can use."""

import io
import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from tests.support.pictures import noise_image
from training.__main__ import main
from training.commands import prepare as command
from training.data.download import prepare as module
from training.data.download.archive import unpack
from training.data.download.remote import COCO_FILES, RemoteFile
from training.errors import DataError
from training.recipe import load_recipe

MEMBERS = {"in/a.jpg": b"a" * 500, "in/b.jpg": b"b" * 300, "in/._a.jpg": b"junk", "other.txt": b"no"}


def test_what_is_selected_is_unpacked_and_what_is_there_stays(make_zip: Callable[..., bytes], tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(make_zip(MEMBERS))
    root = tmp_path / "root"
    expected = {"in/a.jpg": 500, "in/b.jpg": 300}
    assert unpack(tmp_path / "x.zip", root, "in/*.jpg") == expected
    (root / "in/b.jpg").write_bytes(b"cut")
    kept = (root / "in/a.jpg").stat().st_mtime_ns
    assert unpack(tmp_path / "x.zip", root, "in/*.jpg") == expected
    assert (root / "in/a.jpg").stat().st_mtime_ns == kept
    assert (root / "in/b.jpg").read_bytes() == MEMBERS["in/b.jpg"]
    assert {path.name for path in root.rglob("*")} == {"in", "a.jpg", "b.jpg"}
    assert unpack(tmp_path / "x.zip", root, "*.jpg", "flat") == {"flat/a.jpg": 500, "flat/b.jpg": 300}
    with pytest.raises(DataError, match=r"no member of it is called \*\.png"):
        unpack(tmp_path / "x.zip", root, "*.png")


def test_what_a_power_cut_left_empty_is_unpacked_again(make_zip: Callable[..., bytes], tmp_path: Path) -> None:
    """A file of the right size is not yet one of the right content."""
    (tmp_path / "x.zip").write_bytes(make_zip(MEMBERS))
    unpack(tmp_path / "x.zip", tmp_path / "root", "in/*.jpg")
    photo = tmp_path / "root/in/a.jpg"
    photo.write_bytes(bytes(len(MEMBERS["in/a.jpg"])))
    unpack(tmp_path / "x.zip", tmp_path / "root", "in/*.jpg")
    assert photo.read_bytes() == MEMBERS["in/a.jpg"]


def test_what_is_unpacked_is_on_the_disk_when_that_is_done(
    make_zip: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.zip").write_bytes(make_zip(MEMBERS))
    synchronised = set()
    monkeypatch.setattr("os.fsync", lambda number: synchronised.add(Path(f"/proc/self/fd/{number}").resolve().name))
    unpack(tmp_path / "x.zip", tmp_path / "root", "in/*.jpg")
    assert synchronised == {"a.jpg", "b.jpg", "in"}


@pytest.mark.parametrize("name", ["../out.jpg", "in/../../out.jpg", "/out.jpg", "..\\out.jpg", "C:out.jpg"])
def test_members_that_would_lie_outside_are_refused(make_zip: Callable[..., bytes], tmp_path: Path, name: str) -> None:
    (tmp_path / "x.zip").write_bytes(make_zip({"good.jpg": b"x", name: b"x"}))
    with pytest.raises(DataError, match="could lie outside of the folder; refused"):
        unpack(tmp_path / "x.zip", tmp_path / "root", "*.jpg")
    assert not (tmp_path / "root").exists()
    assert list(tmp_path.rglob("*.jpg")) == []


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="refused"):
        unpack(tmp_path / "x.zip", tmp_path / "root")


def test_damaged_zips_leave_no_half_file_under_a_final_name(make_zip: Callable[..., bytes], tmp_path: Path) -> None:
    content = make_zip(MEMBERS)
    (tmp_path / "x.zip").write_bytes(content.replace(b"aaaa", b"aaba", 1))
    with pytest.raises(DataError, match="damaged, or not a zip file"):
        unpack(tmp_path / "x.zip", tmp_path / "root", "in/*.jpg")
    assert not (tmp_path / "root/in/a.jpg").exists()
    (tmp_path / "x.zip").write_bytes(content[:-40])
    with pytest.raises(DataError, match="damaged, or not a zip file"):
        unpack(tmp_path / "x.zip", tmp_path / "root")


@pytest.fixture
def remote(server: Any, answer: Any, make_zip: Callable[..., bytes]) -> RemoteFile:
    content = make_zip(MEMBERS)
    server.answers["/x.zip"] = [answer(content)]
    return RemoteFile(f"{server.url}/x.zip", len(content), unpacked=800, select="in/*.jpg")


def test_what_is_unpacked_is_not_fetched_again(server: Any, remote: RemoteFile, tmp_path: Path) -> None:
    [first] = module.prepare([remote], tmp_path)
    assert (first.name, first.files, first.size) == ("x.zip", 2, 800)
    (tmp_path / "downloads/x.zip").unlink()
    assert module.prepare([remote], tmp_path) == [first]
    assert len(server.asked) == 1
    (tmp_path / "in/a.jpg").unlink()
    module.prepare([remote], tmp_path, delete_zips=True)
    assert (tmp_path / "in/a.jpg").read_bytes() == MEMBERS["in/a.jpg"]
    assert len(server.asked) == 2
    assert not (tmp_path / "downloads/x.zip").exists()


def test_an_interrupted_unpacking_goes_on(remote: RemoteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", lambda source, out: out.write(source.read(10)) and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            module.prepare([remote], tmp_path)
    assert not (tmp_path / "in/a.jpg").exists()
    assert module.prepare([remote], tmp_path)[0].files == 2
    assert (tmp_path / "in/a.jpg").read_bytes() == MEMBERS["in/a.jpg"]


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    server: Any, remote: RemoteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=remote.size + 800 - 1))
    with pytest.raises(DataError, match=r"about 0\.0 GB are needed; 0\.0 GB are free"):
        module.prepare([remote], tmp_path / "new")
    assert server.asked == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=remote.size + 800))
    module.prepare([remote], tmp_path / "new")


def test_space_is_that_of_the_worst_moment(tmp_path: Path) -> None:
    files = [RemoteFile(f"http://x/{name}.zip", size=10, unpacked=7, select=f"{name}/*") for name in "abc"]
    assert module.space_needed(files, tmp_path, delete_zips=False) == 51
    assert module.space_needed(files, tmp_path, delete_zips=True) == 31
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/a.zip.partial").write_bytes(b"1234")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/1").write_bytes(b"12")
    assert module.space_needed(files, tmp_path, delete_zips=False) == 45


def test_two_at_once_are_refused(remote: RemoteFile, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    with (
        FileLock(tmp_path / "downloads/lock"),
        pytest.raises(DataError, match="another process is preparing data there"),
    ):
        module.prepare([remote], tmp_path)


def photo(seed: int) -> bytes:
    data = io.BytesIO()
    noise_image(seed).save(data, "JPEG")
    return data.getvalue()


def captions(name: str, seed: int) -> bytes:
    annotations = [{"id": seed, "image_id": seed, "caption": "a dog runs"}]
    return json.dumps({"images": [{"id": seed, "file_name": name}], "annotations": annotations}).encode()


def published(year: int) -> dict[str, dict[str, bytes]]:
    """Return the members of zip files laid out as COCO's are, with one photo each."""
    files = {"train": f"{year}_1.jpg", "val": f"{year}_2.jpg"}
    parts = {part: {f"{part}{year}/{name}": photo(len(part))} for part, name in files.items()}
    parts["val"][f"val{year}/of-val.jpg"] = photo(9)
    texts = {f"annotations/captions_{part}{year}.json": captions(name, len(part)) for part, name in files.items()}
    images = [
        {"filename": files[part], "filepath": f"{part}{year}", "split": split, "sentences": [{"raw": "a dog"}]}
        for part, split in (("train", "train"), ("val", "val"))
    ]
    images.append({"filename": "of-val.jpg", "filepath": f"val{year}", "split": "restval", "sentences": []})
    karpathy = {"dataset_coco.json": json.dumps({"images": images}).encode(), "dataset_flickr8k.json": b"{}"}
    junk = {f"annotations/instances_train{year}.json": b"big", "__MACOSX/._dataset_coco.json": b"junk"}
    return {"annotations": {**texts, **junk}, **parts, "karpathy": {**karpathy, **junk}}


@pytest.fixture
def mirror(server: Any, answer: Any, make_zip: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that holds small files under the names of COCO's, and a table that names them."""
    table: dict[int, dict[str, RemoteFile]] = {}
    for year, files in COCO_FILES.items():
        table[year] = {}
        for part, file in files.items():
            content = make_zip(published(year)[part])
            server.answers[f"/{file.name}"] = [answer(content, drop_after=len(content) - 60), answer(content)]
            table[year][part] = replace(file, url=f"{server.url}/{file.name}", size=len(content), md5="", unpacked=0)
    monkeypatch.setattr(command, "COCO_FILES", table)
    monkeypatch.setattr(command, "prepare", partial(module.prepare, pause=lambda _: None))


@pytest.mark.parametrize(("year", "what"), [(2014, []), (2017, []), (2014, ["annotations", "train", "val"])])
def test_one_command_makes_what_a_recipe_names(
    mirror: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], year: int, what: list[str]
) -> None:
    root = tmp_path / "coco"
    arguments = ["prepare", "coco", "--year", str(year), "--root", str(root), *(["--what", *what] if what else [])]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert f"train{year}.zip: 1 files" in out
    table = out[out.index("[data]") : out.index("Then look")]
    (tmp_path / "recipe.toml").write_text(f'name = "x"\n{table}')
    data = load_recipe(tmp_path / "recipe.toml").data
    [train], [val] = data.source("train").load(), data.source("val").load()
    assert train.path.read_bytes() == photo(len("train"))
    assert val.path.read_bytes() == photo(len("val"))
    assert bool(data.train_split) == (year == 2014 and not what)
    assert not list(root.rglob("instances*"))
    assert main(arguments) == 0
    assert main(["check", "--recipe", str(tmp_path / "recipe.toml"), "--set", "tokenizer.min_count=1"]) == 0


def test_a_part_that_a_year_has_not_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "coco", "--year", "2017", "--root", str(tmp_path), "--what", "karpathy"]) == 1
    assert "--what karpathy: of 2017 there are annotations, train, val" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "prepare", interrupt)
    assert main(["prepare", "coco", "--year", "2017", "--root", str(tmp_path)]) == 130
    assert "the same command goes on" in capsys.readouterr().out


def test_the_table_is_whole() -> None:
    for year, files in COCO_FILES.items():
        for part, file in files.items():
            assert part in command.PARTS
            assert file.size > 0
            assert file.unpacked > 0
            assert len(file.md5) in (32, 0)
            assert str(year) in file.name or part == "karpathy"
