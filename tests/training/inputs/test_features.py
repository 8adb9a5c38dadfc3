"""The feature cache, and the order of batches."""

import copy
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ImageOps

from captioner.checkpoint import Checkpoint
from captioner.config import EncoderConfig, ImageConfig
from captioner.encoders import ENCODERS
from captioner.images import ImageTransform, read_image
from captioner.model import CaptionModel
from captioner.tokenizers import WordTokenizer
from tests.support.pictures import noise_image
from training.captioning.batches import Batch, CaptionBatches
from training.data import CaptionedImage, load_captioned_images
from training.data.photos import PhotoFile
from training.errors import DataError
from training.inputs import features as module
from training.inputs import shards
from training.inputs.features import CachedFeatures, cache_features
from training.inputs.photos import PlainPhotos
from training.inputs.sources import FeatureSource


@pytest.fixture(scope="module")
def images(dataset: Path) -> list[CaptionedImage]:
    return load_captioned_images(dataset / "train.json", dataset / "train")


@pytest.fixture(scope="module")
def model(small_checkpoint: Checkpoint) -> CaptionModel:
    return small_checkpoint.model


def shown(photos: Sequence[PhotoFile], mirrored: bool = False) -> PlainPhotos:
    return PlainPhotos(photos, ImageConfig(size=64), mirrored)


@pytest.mark.parametrize("mirrored", [False, True])
def test_cached_features_are_what_the_encoder_gives(
    images: list[CaptionedImage], model: CaptionModel, tmp_path: Path, mirrored: bool
) -> None:
    cached = cache_features(model, shown([image.path for image in images], mirrored), tmp_path)
    picture = read_image(images[5].path.read_bytes())
    pixels = torch.from_numpy(ImageTransform(model.config.image)(ImageOps.mirror(picture) if mirrored else picture))
    with torch.inference_mode():
        expected = model(pixels.unsqueeze(0))
    found = cached.batch([5])
    torch.testing.assert_close(found.grid, expected.grid, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.vector, expected.vector, rtol=1e-3, atol=1e-3)
    assert (found.rows, found.cols) == (expected.rows, expected.cols)


def test_a_cache_is_built_once_and_never_used_when_stale(
    images: list[CaptionedImage], small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    photos = []
    for image in images[:3]:
        photos.append(tmp_path / image.path.name)
        photos[-1].write_bytes(image.path.read_bytes())
    root = tmp_path / "cache"
    model = copy.deepcopy(small_checkpoint.model)
    first = cache_features(model, shown(photos), root)
    cache_features(model, shown(photos), root)
    assert len(list(root.iterdir())) == 1
    noise_image(77).save(photos[1])  # another photo under the same name
    changed = cache_features(model, shown(photos), root)
    assert len(list(root.iterdir())) == 2
    assert not np.array_equal(first.vector[[1]], changed.vector[[1]])
    assert np.array_equal(first.vector[[0]], changed.vector[[0]])
    with torch.no_grad():
        next(model.encoder.parameters()).mul_(1.01)
    cache_features(model, shown(photos), root)
    assert len(list(root.iterdir())) == 3


def test_an_interrupted_build_goes_on(
    images: list[CaptionedImage], model: CaptionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [image.path for image in images]
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(shards, "LARGEST", 1)  # a file per batch
    encode, calls = module._Build._encode, []

    def interrupted(self: module._Build, start: int, end: int) -> object:
        calls.append(start)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return encode(self, start, end)

    monkeypatch.setattr(module._Build, "_encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache_features(model, shown(photos), tmp_path / "cut")
    cut = cache_features(model, shown(photos), tmp_path / "cut")
    assert calls[5:] == [0, 6, 8, 10, 12]  # one look at the shapes, then the rest
    whole = cache_features(model, shown(photos), tmp_path / "whole")
    assert cut.grid is not None
    assert whole.grid is not None
    monkeypatch.setattr(shards, "LARGEST", 2**20)
    larger = cache_features(model, shown(photos), tmp_path / "larger")
    assert larger.grid is not None
    everything = list(range(len(photos)))
    for other in (whole, larger):  # however large the files are
        assert other.grid is not None
        assert np.array_equal(cut.grid[everything], other.grid[everything])
        assert np.array_equal(cut.vector[everything], other.vector[everything])
    assert len(list((tmp_path / "cut").glob("*/grid-*-of-00007.npy"))) == 7
    assert len(list((tmp_path / "larger").glob("*/grid-*.npy"))) == 1
    assert not list(tmp_path.rglob("*.partial"))


def test_a_cache_of_vectors_alone_holds_no_grid(
    images: list[CaptionedImage], small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model = copy.deepcopy(small_checkpoint.model)
    config = EncoderConfig("tiny", outputs="vector")
    model.config = replace(model.config, encoder=config)
    model.encoder = ENCODERS["tiny"](config)
    photos = [image.path for image in images]
    cached = cache_features(model, shown(photos), tmp_path)
    pixels = torch.from_numpy(ImageTransform(model.config.image)(read_image(photos[5].read_bytes())))
    with torch.inference_mode():
        expected = model(pixels.unsqueeze(0)).vector
    for features in (cached, cache_features(model, shown(photos), tmp_path)):
        found = features.batch([5, 2])
        assert (found.grid, found.rows, found.cols) == (None, 0, 0)
        torch.testing.assert_close(found.vector[:1], expected, rtol=1e-3, atol=1e-3)
    assert {path.name for path in tmp_path.rglob("*.npy")} == {"vector-00000-of-00001.npy"}


def test_a_cache_is_stale_when_the_code_of_its_encoder_changes(
    model: CaptionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [path.name for path in module._code(model)]
    assert names == ["torchvision.py", "centred.py", "base.py", "images.py"]
    code = tmp_path / "base.py"
    monkeypatch.setattr(module, "_code", lambda _: [code])
    keys = set()
    for text in ("a", "b", "a"):
        code.write_text(text)
        keys.add(module._key(model, shown([]), low_precision=False))
    assert len(keys) == 2


def test_a_cache_that_two_want_at_once_is_built_by_both(
    images: list[CaptionedImage], model: CaptionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each photo is encoded once; the first build goes on only when the second one has made something."""
    photos = [image.path for image in images]
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(shards, "LARGEST", 1)
    write, second_works = module._Build._write, threading.Event()
    written, results = list[tuple[str, int]](), list[CachedFeatures]()
    second = threading.Thread(
        target=lambda: results.append(cache_features(model, shown(photos), tmp_path)), name="second"
    )

    def noted(self: module._Build, rows: range, files: Any, bar: Any) -> None:
        name = threading.current_thread().name
        written.append((name, rows.start))
        if name == "second":
            second_works.set()
        elif not second.ident:
            second.start()
            assert second_works.wait(timeout=60)
        write(self, rows, files, bar)

    monkeypatch.setattr(module._Build, "_write", noted)
    first = cache_features(model, shown(photos), tmp_path)
    second.join()
    assert sorted(start for _, start in written) == [0, 2, 4, 6, 8, 10, 12]
    assert "second" in {name for name, _ in written}
    assert np.array_equal(results[0].vector[[0, 13]], first.vector[[0, 13]])


def test_an_unreadable_photo_is_named(model: CaptionModel, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"bad\.jpg"):
        cache_features(model, shown([bad]), tmp_path / "cache")


def numbered(count: int, sign: int) -> CachedFeatures:
    """Features that tell which photo they are of, negative if it is mirrored."""
    numbers = sign * np.arange(1, count + 1, dtype=np.float16)
    return CachedFeatures(numbers[:, None], numbers[:, None, None], 1, 1)


class Batches(CaptionBatches):
    """Batches whose photos are numbers: 1, 2, ... upright and -1, -2, ... mirrored."""

    def __init__(self, images: list[CaptionedImage], seed: int = 1, mirror: bool = True, max_tokens: int = 20) -> None:
        tokenizer = WordTokenizer.learn(text for image in images for text in image.captions)
        super().__init__(images, tokenizer, size=4, max_tokens=max_tokens, seed=seed)
        self.numbers = FeatureSource(numbered(len(images), 1), numbered(len(images), -1) if mirror else None)

    def at(self, epoch: int, position: int) -> Batch:
        return self.batch(self.numbers, epoch, position)

    def vectors(self, batch: Batch) -> torch.Tensor:
        assert batch.features is not None
        return batch.features.vector


def test_an_epoch_shows_every_caption_with_its_photo_once(images: list[CaptionedImage]) -> None:
    batches = Batches(images)
    tokenizer = batches.tokenizer
    seen = []
    for position in range(len(batches)):
        batch = batches.at(2, position)
        per_image = batch.tokens.reshape(len(batch.image_ids), -1, batch.tokens.shape[1])
        for image_id, vector, rows in zip(batch.image_ids, batches.vectors(batch), per_image, strict=True):
            assert abs(int(vector)) == image_id - 999
            seen += [(image_id, tokenizer.decode(row.tolist())) for row in rows]
            assert all(row[0] == tokenizer.bos_id for row in rows.tolist())
    expected = [(image.image_id, text.removesuffix(" .")) for image in images for text in image.captions]
    assert sorted(seen) == sorted(expected)


def test_the_order_depends_on_seed_and_epoch_alone(images: list[CaptionedImage]) -> None:
    def order(seed: int, epoch: int) -> list[tuple[int, ...]]:
        batches = Batches(images, seed)
        return [batches.at(epoch, position).image_ids for position in reversed(range(len(batches)))]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_augmented_versions_are_shown_as_often_as_the_photo() -> None:
    versions = [numbered(1, 1), numbered(1, 2), numbered(1, 3)]
    source = FeatureSource(versions[0], numbered(1, -1), tuple(versions[1:]))
    seeds = torch.arange(900)
    seen = Counter(int(source.read(torch.tensor([0]), seed // 3 % 2 == 0, seed)[0].vector) for seed in seeds[:, None])
    assert set(seen) == {1, -1, 2, 3}
    assert all(abs(count - 300) < 60 for count in (seen[1] + seen[-1], seen[2], seen[3]))
    again = source.read(torch.tensor([0] * 5), torch.zeros(5, dtype=torch.bool), torch.arange(5))[0]
    same = source.read(torch.tensor([0] * 5), torch.zeros(5, dtype=torch.bool), torch.arange(5))[0]
    assert torch.equal(again.require_grid(), same.require_grid())
    assert torch.equal(again.require_grid()[:, 0], again.vector)  # both are of the same version


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_show_what_the_whole_batch_does(images: list[CaptionedImage], parts: int) -> None:
    batches = Batches(images)
    versions = tuple(numbered(len(images), factor) for factor in (10, 100))
    source = replace(batches.numbers, augmented=versions)
    for position in range(len(batches)):
        whole = batches.batch(source, 1, position)
        for part in range(min(parts, batches.photos_at(position))):
            cut = batches.batch(source, 1, position, part, parts)
            assert cut.image_ids == whole.image_ids[part::parts]
            assert torch.equal(batches.vectors(cut), batches.vectors(whole)[part::parts])
            assert (cut.seeds, cut.caption_length) == (whole.seeds[part::parts], whole.caption_length)


def test_captions_that_are_cut_do_not_end() -> None:
    image = CaptionedImage(1, Path("x.jpg"), ("one two three four five", "one two three four five six"))
    batches = Batches([image], max_tokens=5)
    bos, eos = batches.tokenizer.bos_id, batches.tokenizer.eos_id
    short = [bos, *batches.tokenizer.encode(image.captions[0])]
    assert batches.at(0, 0).tokens.tolist() == [[*short, eos], [*short, batches.tokenizer.encode("six")[0]]]


def test_sided_photos_are_never_mirrored(images: list[CaptionedImage]) -> None:
    sided = CaptionedImage(5000, Path("x.jpg"), ("a dog on the left", "a dog", "a dog runs"))
    batches = Batches([*images, sided])
    mirrored = {True: 0, False: 0}
    for epoch in range(20):
        for position in range(len(batches)):
            batch = batches.at(epoch, position)
            for image_id, vector in zip(batch.image_ids, batches.vectors(batch), strict=True):
                mirrored[image_id == 5000] += int(vector < 0)
    assert mirrored[True] == 0
    assert 100 < mirrored[False] < 180  # half of 14 * 20
    upright = Batches(images, mirror=False)
    assert all(bool((upright.vectors(upright.at(0, p)) > 0).all()) for p in range(len(upright)))


def test_photos_with_fewer_captions_repeat_some() -> None:
    images = [CaptionedImage(1, Path("x"), ("a", "b", "c")), CaptionedImage(2, Path("y"), ("d", "e"))]
    batches = Batches(images)
    for epoch in range(3):
        batch = batches.at(epoch, 0)
        texts = [batches.tokenizer.decode(row) for row in batch.tokens.tolist()]
        by_image = {i: set(texts[3 * n : 3 * n + 3]) for n, i in enumerate(batch.image_ids)}
        assert by_image == {1: {"a", "b", "c"}, 2: {"d", "e"}}
