"""Which photos a bulk job is about, and that they are read from where they are."""

import csv
import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from captioner.bulk.inputs import PhotoRef, find_inputs
from captioner.errors import OptionError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Photos and other files in two folders; what is in a file is its name."""
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "sub/c.webp", "sub/._c.webp", ".git/d.jpg"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "tree"


def names(photos: object, root: Path) -> list[str]:
    return [str(Path(photo.path).relative_to(root)) for photo in photos]  # type: ignore[attr-defined]


def test_a_folder_is_its_photos_in_order_with_those_of_its_subfolders(tree: Path) -> None:
    found = list(find_inputs([str(tree)]))
    assert names(found, tree) == ["a.PNG", "b.jpg", "sub/c.webp"]
    assert [photo.read().decode() for photo in found] == ["a.PNG", "b.jpg", "sub/c.webp"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("*.jpg", ["b.jpg"]), ("**/*.webp", ["sub/c.webp"]), ("s*", ["sub/c.webp"]), ("[ab].*", ["a.PNG", "b.jpg"])],
)
def test_patterns(tree: Path, pattern: str, expected: list[str]) -> None:
    assert names(find_inputs([f"{tree}/{pattern}"]), tree) == expected


def test_a_file_that_is_named_is_taken_whatever_its_name(tree: Path) -> None:
    assert names(find_inputs([str(tree / "notes.txt"), str(tree / "b.jpg")]), tree) == ["notes.txt", "b.jpg"]


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        file.addfile(tarfile.TarInfo("folder.jpg/"))
    return path


def test_the_photos_of_a_shard_are_read_from_the_middle_of_it(tmp_path: Path) -> None:
    members = {
        f"{number:03}.{ending}": f"{number} {ending}".encode() * 300 for number in range(5) for ending in ("jpg", "txt")
    }
    path = shard(tmp_path / "a.tar", members)
    found = list(find_inputs([str(path)]))
    assert [(photo.path, photo.member) for photo in found] == [(str(path), f"{number:03}.jpg") for number in range(5)]
    assert [photo.read() for photo in found] == [members[photo.member or ""] for photo in found]


def test_a_shard_that_webdataset_wrote(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as sink:
        for number in range(3):
            sink.write({"__key__": f"{number:06}", "jpg": b"%d" % number * 1000, "json": {"label": number}})
    found = list(find_inputs([str(tmp_path / "w.tar")]))
    assert [(photo.member, photo.read()) for photo in found] == [
        (f"{number:06}.jpg", b"%d" % number * 1000) for number in range(3)
    ]


ROWS = ["b.jpg", "sub/c.webp", "", "gone.jpg", "b.jpg"]


@pytest.fixture(params=["csv", "parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"table.{request.param}"
    if request.param == "csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["id", "file"], *([str(number), row] for number, row in enumerate(ROWS))])
    else:
        parquet.write_table(pa.table({"id": range(5), "file": [row or None for row in ROWS]}), path, row_group_size=2)
    return path


def test_every_row_of_a_table_is_a_photo_under_the_path_that_stands_there(table: Path, tree: Path) -> None:
    found = list(find_inputs([str(table)], column="file", root=tree))
    assert [photo.path for photo in found] == ROWS
    assert [found[number].read().decode() for number in (0, 1, 4)] == ["b.jpg", "sub/c.webp", "b.jpg"]
    for number in (2, 3):
        with pytest.raises(OSError, match=r"directory|No such file"):
            found[number].read()


def test_a_table_without_the_column_says_which_there_are(table: Path) -> None:
    with pytest.raises(OptionError, match="no column 'path'; there is id, file"):
        list(find_inputs([str(table)]))


def test_a_column_of_something_else(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"path": [[1], [2]]}), tmp_path / "x.parquet")
    with pytest.raises(OptionError, match="column 'path' cannot be read"):
        list(find_inputs([str(tmp_path / "x.parquet")]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere", "nowhere: no such file or folder"),
        ("nowhere/*.jpg", "no such file or folder"),
        ("https://example.org/a.jpg", "nothing is fetched from the web"),
        ("{root}/empty", "no photo in it"),
        ("{root}/a.tar.gz", "a compressed shard cannot be read from the middle"),
        ("{root}/broken.tar", "not a readable tar file"),
        ("{root}/broken.parquet", "cannot be read"),
    ],
)
def test_what_cannot_be_an_input(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("a.tar.gz", "broken.tar", "broken.parquet"):
        (tmp_path / name).write_bytes(b"x" * 600)
    with pytest.raises(OptionError, match=message):
        list(find_inputs([text.format(root=tmp_path)]))


def test_a_photo_that_is_too_large_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate(2**26)
    assert len(PhotoRef(str(path), str(path)).read()) == 20 * 2**20 + 1
    assert len(PhotoRef(str(path), str(path), "a.jpg", 5, 2**25).read()) == 20 * 2**20 + 1
