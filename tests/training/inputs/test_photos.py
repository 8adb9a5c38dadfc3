"""Photos as pixels for an encoder that learns."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioner.config import ImageConfig
from captioner.images import ImageTransform
from tests.support.pictures import noise_image
from training.errors import DataError
from training.inputs.augmentation import Augmentation
from training.inputs.photos import AugmentedPhotos, AugmentedSource, store_photos

CONFIG = ImageConfig(size=64)
FIRST_TWO = torch.tensor([0, 1])
UPRIGHT = torch.tensor([False, False])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        noise_image(number, 90, 120).save(path)
    return paths


def test_without_chance_they_are_what_the_service_sees(photos: list[Path], tmp_path: Path) -> None:
    source = AugmentedSource(store_photos(photos, 64, tmp_path), CONFIG, Augmentation(crop=1.0, colour=0.0))
    _, pixels = source.read(FIRST_TWO, UPRIGHT, torch.tensor([1, 2]))
    expected = ImageTransform(CONFIG).batch([Image.open(photo) for photo in photos[:2]])
    np.testing.assert_allclose(pixels, expected, atol=0.02, rtol=0)
    _, mirrored = source.read(FIRST_TWO, torch.tensor([True, False]), torch.tensor([1, 2]))
    torch.testing.assert_close(mirrored, torch.stack([pixels[0].flip(2), pixels[1]]))


def test_chance_is_a_function_of_the_seed(photos: list[Path], tmp_path: Path) -> None:
    source = AugmentedSource(store_photos(photos, 73, tmp_path), CONFIG)
    before = torch.get_rng_state()
    one, same, other = (source.read(FIRST_TWO, UPRIGHT, torch.tensor(seeds))[1] for seeds in ((7, 9), (7, 9), (8, 9)))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.shape == (2, 3, 64, 64)
    assert torch.equal(one, same)
    assert not torch.allclose(one[0], other[0])
    assert torch.equal(one[1], other[1])  # whatever is beside it
    _, alone = source.read(FIRST_TWO[1:], UPRIGHT[1:], torch.tensor([9]))
    assert torch.equal(one[1:], alone)


def test_versions_are_made_of_augmented_photos(photos: list[Path], tmp_path: Path) -> None:
    plain = AugmentedSource(store_photos(photos, 64, tmp_path), CONFIG, Augmentation(crop=1.0, colour=0.0))
    _, upright = plain.read(torch.arange(3), torch.tensor([False] * 3), torch.arange(3))
    never = torch.tensor([False, True, True])
    seen = set()
    for version in range(1, 9):
        for photo, found in enumerate(AugmentedPhotos(photos, plain, never, version).pixels(0, 3)):
            flipped = torch.allclose(found, upright[photo].flip(2))
            assert flipped or torch.allclose(found, upright[photo])
            seen.add((photo, flipped))
    assert seen == {(0, False), (1, False), (1, True), (2, False), (2, True)}
    source = AugmentedSource(plain.store, CONFIG)
    first, same, second = (AugmentedPhotos(photos, source, never, version) for version in (1, 1, 2))
    assert torch.equal(first.pixels(1, 3), same.pixels(1, 3))
    assert not torch.allclose(first.pixels(0, 3), second.pixels(0, 3))
    assert first.describe() == same.describe() != second.describe()


def test_the_store_is_filled_once(photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store_photos(photos, 32, tmp_path)
    monkeypatch.setattr("training.inputs.shards._fill", lambda *_: pytest.fail("filled again"))
    assert np.array_equal(store_photos(photos, 32, tmp_path).pixels[[0, 1, 2]], first.pixels[[0, 1, 2]])


def test_an_interrupted_store_is_filled_anew(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("captioner.files.os.replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store_photos(photos, 32, tmp_path)
    assert store_photos(photos, 32, tmp_path).pixels[[0, 1, 2]].shape == (3, 32, 32, 3)


def test_the_store_is_in_files_of_bounded_size(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = store_photos(photos, 32, tmp_path / "whole")
    monkeypatch.setattr("training.inputs.shards.LARGEST", 2 * 32 * 32 * 3 + 1)
    cut = store_photos(photos, 32, tmp_path / "cut")
    assert sorted(path.name for path in (tmp_path / "cut").glob("*/*.npy")) == [
        "photos-00000-of-00002.npy",
        "photos-00001-of-00002.npy",
    ]
    assert torch.equal(cut.batch([2, 0, 1]), whole.batch([2, 0, 1]))


def test_a_photo_that_cannot_be_read_is_named(photos: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"broken\.png"):
        store_photos([*photos, broken], 32, tmp_path)
