"""Corrections on disk: kept once, bounded, forgotten whole, by any number of processes, and read by training."""

import io
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from captioner.errors import ConfigError
from service.corrections import LIST, MOST_SIDE, PHOTOS, CorrectionStore, encode_photo, fit_photo
from service.errors import CorrectionsFullError, UnknownCorrectionError
from training.data import load_captioned_images
from training.growing.recipe import CORRECTIONS
from training.growing.recipe import PHOTOS as TRAINING_PHOTOS

MakePhoto = Callable[..., bytes]
MOST_BYTES = 2**20


def store(folder: Path, most: int = 100, most_bytes: int = MOST_BYTES) -> CorrectionStore:
    return CorrectionStore(folder, most, most_bytes)


def photos(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / PHOTOS).iterdir())


def test_training_reads_what_is_kept(tmp_path: Path, photo: MakePhoto) -> None:
    assert (LIST, PHOTOS) == (CORRECTIONS, TRAINING_PHOTOS)
    kept, picture = store(tmp_path), encode_photo(Image.new("RGB", (30, 20), (1, 2, 3)))
    for name, text in ((b"1", "a red “dog”"), (b"1", "two dogs\u2028run"), (b"2", "a cat")):
        kept.add(name, picture, text)
    images = load_captioned_images(tmp_path / LIST, tmp_path / PHOTOS, unreadable="skip")
    assert sorted(image.captions for image in images) == [("a cat",), ("a red “dog”", "two dogs\u2028run")]


def test_the_same_photo_and_sentence_are_kept_once(tmp_path: Path) -> None:
    kept = store(tmp_path)
    first, again, other = kept.add(b"1", b"x", "a"), kept.add(b"1", b"x", "a"), kept.add(b"1", b"x", "b")
    assert (first.is_new, again.is_new, other.is_new) == (True, False, True)
    assert first.id == again.id != other.id
    assert len(photos(tmp_path)) == 1


def test_a_correction_is_forgotten_with_its_photo_but_not_with_that_of_another(tmp_path: Path) -> None:
    kept = store(tmp_path)
    first, second = kept.add(b"1", b"x", "a"), kept.add(b"1", b"x", "b")
    kept.delete(first.id)
    assert len(photos(tmp_path)) == 1
    kept.delete(second.id)
    assert photos(tmp_path) == []
    assert (tmp_path / LIST).read_text() == ""
    with pytest.raises(UnknownCorrectionError):
        kept.delete(second.id)


def test_it_is_full_by_number(tmp_path: Path) -> None:
    kept = store(tmp_path, most=2)
    kept.add(b"1", b"x", "a")
    second = kept.add(b"2", b"x", "a")
    with pytest.raises(CorrectionsFullError, match="2 corrections are kept"):
        kept.add(b"3", b"x", "a")
    assert not kept.add(b"2", b"x", "a").is_new
    kept.delete(second.id)
    assert kept.add(b"3", b"x", "a").is_new
    assert len(photos(tmp_path)) == 2


def test_it_is_full_by_bytes_of_which_a_photo_counts_once(tmp_path: Path) -> None:
    kept = store(tmp_path, most_bytes=100)
    kept.add(b"1", bytes(60), "a")
    kept.add(b"1", bytes(60), "b")
    with pytest.raises(CorrectionsFullError, match="MiB"):
        kept.add(b"2", bytes(41), "a")
    assert kept.add(b"2", bytes(40), "a").is_new
    assert len(photos(tmp_path)) == 2


def test_a_photo_whose_writer_was_killed_is_removed(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add(b"1", b"x", "a")
    (tmp_path / PHOTOS / "orphan.jpg").write_bytes(b"x")
    store(tmp_path)
    assert len(photos(tmp_path)) == 1


def fill(folder: Path, process: int) -> None:
    kept = store(folder, most=30)
    for number in range(10):
        try:
            kept.add(b"%d %d" % (process, number), b"x", "a")
            kept.add(b"shared %d" % number, b"x", "b")
        except CorrectionsFullError:
            return


def test_processes_share_the_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=fill, args=(tmp_path, process)) for process in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = (tmp_path / LIST).read_text().splitlines()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(lines) == len(set(lines)) == 30
    assert len(photos(tmp_path)) == 30


@pytest.mark.parametrize("content", ["nonsense\n", '{"caption": 1}\n'])
def test_a_list_that_is_damaged_is_told_at_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / LIST).write_text(content)
    with pytest.raises(ConfigError, match="cannot be used"):
        store(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        store(tmp_path / "file")


def test_what_is_kept_of_a_photo_is_small_and_tells_nothing_else(photo: MakePhoto) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    file = io.BytesIO()
    Image.new("RGB", (3000, 1000), (200, 80, 40)).save(file, "JPEG", exif=exif, comment=b"secret")
    data = encode_photo(fit_photo(Image.open(file).convert("RGB")))
    kept = Image.open(io.BytesIO(data))
    assert b"secret" not in data
    assert (kept.format, kept.size, kept.mode) == ("JPEG", (MOST_SIDE, round(MOST_SIDE / 3)), "RGB")
    assert all(abs(a - b) < 8 for a, b in zip(kept.getpixel((5, 5)), (200, 80, 40), strict=True))  # type: ignore[arg-type]


def test_a_small_photo_is_not_enlarged() -> None:
    assert fit_photo(Image.new("RGB", (30, 20))).size == (30, 20)
