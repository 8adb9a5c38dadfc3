"""The index, with lists as the oracle of what is in it."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.errors import OptionError
from captioner.images import DecodedPhoto
from captioner.index.database import Entry, PhotoIndex
from captioner.index.update import Indexer
from captioner.metadata.record import Record
from captioner.metadata.sidecars import Sidecars
from captioner.predictor import ModelInfo
from captioner.types import Caption
from tests.support.metadata import SCRIPTS
from tests.support.pictures import noise_image

MODEL = ModelInfo("fake", "1", "a" * 64)


@pytest.fixture
def index(tmp_path: Path) -> PhotoIndex:
    return PhotoIndex(tmp_path / "deep" / "photos ?%23#.sqlite", writable=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name, width in (("a.jpg", 20), ("sub/b.png", 30), ("c\udcff.webp", 40), (".hidden/d.png", 50)):
        noise_image(width, width).save(folder / name)
    (folder / "notes.txt").write_text("none")
    return folder


class Model:
    """Calls pictures by their width, and notes how many it saw."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: list[Image.Image]) -> list[list[Caption]]:
        self.seen += len(images)
        return [[Caption(f"width {image.width}", (), -1.0, None, True, confidence=0.5)] for image in images]


def indexer(index: PhotoIndex, root: Path, model: Model, info: ModelInfo = MODEL, **more: Any) -> Indexer:
    return Indexer(index, root, info, model, (Sidecars(),), **more)


def update(work: Indexer) -> list[Entry]:
    changes = work.changes()
    work.remove(changes.gone)
    return [entry for entries in work.add(changes.wanted) for entry in entries]


def test_photos_are_read_as_it_is_told(index: PhotoIndex, root: Path) -> None:
    sizes = []

    def read(data: bytes) -> DecodedPhoto:
        sizes.append(len(data))
        return DecodedPhoto(Image.new("RGB", (7, 7)), 4000, 3000, "JPEG")

    entries = update(indexer(index, root, Model(), read=read))
    assert [entry.caption for entry in entries] == ["width 7"] * 3
    assert sorted(sizes) == sorted((root / entry.path).stat().st_size for entry in entries)


def found(index: PhotoIndex, text: str) -> list[str]:
    return [hit.path for hit in index.find(text)]


def test_words_are_found_by_their_stems_and_the_rarest_count_most(index: PhotoIndex) -> None:
    captions = {
        "1.jpg": "two dogs are running on the beach",
        "2.jpg": "a dog runs in the grass",
        "3.jpg": "a man sits on a beach",
        "4.jpg": "a dog sleeps",
        "5.jpg": "a café",
    }
    index.put(Path("/p"), [Entry(path, "s", "m", text) for path, text in captions.items()])
    assert found(index, "dog on a beach") == ["1.jpg"]
    assert set(found(index, "Dogs!")) == {"1.jpg", "2.jpg", "4.jpg"}
    assert found(index, "running grass") == ["2.jpg"]
    assert found(index, "cafe") == ["5.jpg"]
    assert set(found(index, "grass sleeping")) == {"2.jpg", "4.jpg"}  # none has both
    assert found(index, "cat") == found(index, "") == found(index, "?!") == []
    assert [len(index.find("dog", limit)) for limit in (1, 2, 9)] == [1, 2, 3]


@pytest.mark.parametrize(
    "text", ['"', "a AND OR NOT b", "caption:dog", "dog*", "NEAR(a b)", "'; DROP TABLE photos", "-", "^dog"]
)
def test_any_text_may_be_looked_for(text: str, index: PhotoIndex) -> None:
    index.put(Path("/p"), [Entry("1.jpg", "s", "m", "a dog and b")])
    assert isinstance(index.find(text), list)
    assert len(index) == 1


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script(script: str, index: PhotoIndex) -> None:
    index.put(Path("/p"), [Entry("1.jpg", "s", "m", "a dog", SCRIPTS[script])])
    [hit] = index.find(SCRIPTS[script])
    assert hit.description == SCRIPTS[script]


def test_it_equals_a_dictionary_after_any_changes(index: PhotoIndex) -> None:
    random, oracle, words = np.random.default_rng(1), dict[str, str](), ("dog", "cat", "beach", "grass")
    for _ in range(60):
        path, word = f"{random.integers(6)}.jpg", words[random.integers(4)]
        if random.random() < 0.3:
            index.remove(Path("/p"), [path])
            oracle.pop(path, None)
        else:
            index.put(Path("/p"), [Entry(path, word, "m", f"a {word}")])
            oracle[path] = word
        assert {one: stamp for one, (stamp, _) in index.known(Path("/p")).items()} == oracle
        for word in words:
            assert set(found(index, word)) == {one for one, other in oracle.items() if other == word}


def test_only_what_changed_is_captioned_and_what_went_is_removed(index: PhotoIndex, root: Path) -> None:
    model = Model()
    work = indexer(index, root, model)
    assert {entry.path for entry in update(work)} == {"a.jpg", "c\udcff.webp", "sub/b.png"}
    assert update(work) == []
    (root / "a.jpg").unlink()
    noise_image(9, 60).save(root / "sub/b.png")
    noise_image(9, 70).save(root / "new.gif")
    assert {entry.path for entry in update(work)} == {"sub/b.png", "new.gif"}
    assert model.seen == 5
    assert (found(index, "20"), found(index, "30"), found(index, "60")) == ([], [], ["sub/b.png"])
    assert len(update(indexer(index, root, model, ModelInfo("fake", "2")))) == 3
    assert len(index) == 3


def test_captions_and_descriptions_in_the_metadata_are_taken_from_there(index: PhotoIndex, root: Path) -> None:
    model, sidecars = Model(), Sidecars()
    sidecars.write(root / "a.jpg", Record("a dog", MODEL.name, MODEL.version, MODEL.sha256, 0.25, True))
    (root / "sub/b.png.xmp").write_bytes(b"<damaged")
    entries = {entry.path: entry for entry in update(indexer(index, root, model))}
    assert model.seen == 2
    assert (entries["a.jpg"].caption, entries["a.jpg"].confidence) == ("a dog", 0.25)
    text = (root / "a.jpg.xmp").read_text(encoding="utf-8")
    (root / "a.jpg.xmp").write_text(text.replace('default">a dog', 'default">our Rex'), encoding="utf-8")
    assert [entry.description for entry in update(indexer(index, root, model))] == ["our Rex"]
    assert found(index, "rex") == ["a.jpg"]


def test_a_broken_photo_is_noted_once(index: PhotoIndex, root: Path) -> None:
    (root / "a.jpg").write_bytes(b"\xff\xd8\xffbroken")
    model = Model()
    entries = {entry.path: entry for entry in update(indexer(index, root, model))}
    assert "cannot be decoded" in entries["a.jpg"].error or "truncated" in entries["a.jpg"].error
    assert update(indexer(index, root, model)) == []
    assert len(index) == 3


def test_captions_are_written_elsewhere_before_they_are_in_the_index(index: PhotoIndex, root: Path) -> None:
    at_that_time = list[int]()

    def write(photo: Path, _: Caption) -> None:
        at_that_time.append(len(index))
        os.utime(photo, (5, 5))

    update(indexer(index, root, Model(), write=write))
    assert at_that_time == [0, 0, 0]
    assert update(indexer(index, root, Model())) == []  # the stamp is that after the writing


def test_a_folder_that_cannot_be_read_removes_nothing(index: PhotoIndex, root: Path, tmp_path: Path) -> None:
    update(indexer(index, root, Model()))
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="No such file"):
        update(indexer(index, root, Model()))
    assert len(index) == 3


def test_files_are_given_by_number_and_only_those_of_the_folder(index: PhotoIndex, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    noise_image(1).save(secret)
    update(indexer(index, root, Model()))
    [hit] = index.find("20")
    assert index.file(hit.id) == hit.file.resolve()
    (root / "a.jpg").unlink()
    assert index.file(hit.id) is None
    (root / "a.jpg").symlink_to(secret)
    assert index.file(hit.id) is None
    index.put(root, [Entry("../secret.jpg", "s", "m", "secret")])
    assert index.file(index.find("secret")[0].id) is None
    assert index.file(99999) is index.file(-1) is None


def test_readers_write_nothing(index: PhotoIndex, tmp_path: Path) -> None:
    index.put(Path("/p"), [Entry("1.jpg", "s", "m", "a dog")])
    [file] = (tmp_path / "deep").iterdir()
    file.chmod(0o444)
    (tmp_path / "deep").chmod(0o555)
    reader = PhotoIndex(file)
    try:
        assert len(reader.find("dog")) == 1
        with pytest.raises(OptionError, match="readonly"):
            reader.put(Path("/p"), [Entry("2.jpg", "s", "m")])
    finally:
        (tmp_path / "deep").chmod(0o755)
    assert [one.name for one in (tmp_path / "deep").iterdir()] == [file.name]


def _other_database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE other (a)")


@pytest.mark.parametrize("make", [_other_database, lambda path: path.write_bytes(b"no database" * 99)])
@pytest.mark.parametrize("writable", [False, True])
def test_other_files_are_left_alone(make: Callable[[Path], object], writable: bool, tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    make(path)
    before = path.read_bytes()
    with pytest.raises(OptionError, match="index"):
        PhotoIndex(path, writable=writable)
    assert path.read_bytes() == before
    with pytest.raises(OptionError, match="captioner index FOLDER makes one"):
        PhotoIndex(tmp_path / "nothing.sqlite")
