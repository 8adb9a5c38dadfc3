"""Photos as pixels, kept small on disk, for an encoder that learns."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import v2
from tqdm import tqdm

from captioner.config import ImageConfig
from captioner.cpus import available_cpus
from captioner.errors import ImageError
from captioner.images import ImageTransform, Read, decode_photo
from training.data.photos import PhotoFile
from training.errors import DataError
from training.inputs.augmentation import MILD, Augmentation, augment
from training.inputs.shards import Layout, ShardedRows, fill


def hash_photos(digest: "hashlib._Hash", photos: Iterable[PhotoFile]) -> None:
    """Add the contents of photos to what names a cache."""
    for photo in photos:
        digest.update(hashlib.sha256(photo.read_bytes()).digest())


def read_photo(path: PhotoFile, read: Read = decode_photo) -> Image.Image:
    """Read the upright photo of a training or validation set.

    Args:
        path: Its file.
        read: How; by default in full.

    Raises:
        DataError: If it is no usable image; the message names it.
    """
    try:
        return read(path.read_bytes()).image
    except ImageError as error:
        raise DataError(f"{path}: {error} (unreadable = skip leaves such photos out)") from None


PHOTOS = "photos"  # the array of the store
MARGIN = 8 / 7  # how much larger than the encoder's square photos are kept, so that crops lose no detail


@dataclass(frozen=True)
class PlainPhotos:
    """Photos as whoever captions with the model shows them, but read in full, or all of them mirrored left to right.

    Attributes:
        paths: The files.
        config: How they become pixels.
        mirrored: Whether they are mirrored.
    """

    paths: Sequence[PhotoFile]
    config: ImageConfig
    mirrored: bool = False

    def describe(self) -> Any:
        """Return what tells these pixels from others of the same files."""
        return ["plain", self.mirrored]

    def pixels(self, start: int, end: int) -> Tensor:
        """Return the photos from ``start`` to ``end``; see :class:`training.inputs.features.Shown`."""
        photos = map(read_photo, self.paths[start:end])
        shown = [ImageOps.mirror(photo) if self.mirrored else photo for photo in photos]
        return torch.from_numpy(ImageTransform(self.config).batch(shown))


@dataclass(frozen=True)
class PhotoStore:
    """All photos of a set, squashed to a square.

    Attributes:
        pixels: ``[I, side, side, 3]`` bytes.
    """

    pixels: ShardedRows

    def batch(self, indices: Sequence[int]) -> Tensor:
        """Return photos as ``[B, 3, side, side]`` bytes."""
        return torch.from_numpy(self.pixels[list(indices)]).permute(0, 3, 1, 2)


def store_photos(photos: Sequence[PhotoFile], side: int, root: Path) -> PhotoStore:
    """Open the store of photos, filling it first if it is not there yet, together with other processes.

    Args:
        photos: Files, in the order in which the store will hold them.
        side: Of the square that they are squashed to, in pixels.
        root: Folder of all caches.

    Raises:
        DataError: If a photo cannot be read; the message names it.
    """
    shape = (side, side, 3)
    layout = Layout.of(root / _key(photos, side), len(photos), math.prod(shape))

    def write(rows: range, files: Mapping[str, NDArray[Any]], bar: tqdm) -> None:
        def store(index: int) -> None:
            photo = read_photo(photos[index]).resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
            files[PHOTOS][index - rows.start] = np.asarray(photo)

        with ThreadPoolExecutor(available_cpus()) as pool:  # Pillow decodes and resizes outside of Python's lock
            for _ in pool.map(store, rows):
                bar.update()

    fill(layout, {PHOTOS: (shape, np.uint8)}, write, "reading photos")
    return PhotoStore(ShardedRows(layout, PHOTOS))


def _key(photos: Sequence[PhotoFile], side: int) -> str:
    digest = hashlib.sha256(json.dumps(["photos in shards", side]).encode())
    hash_photos(digest, photos)
    return digest.hexdigest()[:32]


CPU = torch.device("cpu")


@dataclass(frozen=True)
class AugmentedSource:
    """Photos as an encoder that learns sees them: mirrored by chance, cropped and coloured.

    Attributes:
        store: The photos.
        config: The encoder's square and normalisation.
        augmentation: How strongly they are cropped and coloured.
        device: Where photos are cropped and coloured: beside the encoder, a GPU does it in passing.
    """

    store: PhotoStore
    config: ImageConfig
    augmentation: Augmentation = MILD
    device: torch.device = CPU

    def read(self, chosen: Tensor, mirror: Tensor, seeds: Tensor) -> tuple[None, Tensor]:
        """Return pixels ``[B, 3, size, size]``, each photo's a pure function of its own arguments."""
        photos = self.store.batch(chosen.tolist()).to(self.device)
        seen = augment(photos, self.config.size, mirror, seeds.tolist(), self.augmentation)
        normalised: Tensor = v2.functional.normalize(seen, list(self.config.mean), list(self.config.std))
        return None, normalised


@dataclass(frozen=True)
class AugmentedPhotos:
    """One augmented version of every photo: cropped, coloured, and mirrored by chance where it may be.

    Attributes:
        paths: The files.
        source: The same photos, and how to augment them.
        mirrorable: ``[I]``, which of them may be mirrored.
        version: Which version, from 1.
    """

    paths: Sequence[PhotoFile]
    source: AugmentedSource
    mirrorable: Tensor
    version: int

    def describe(self) -> Any:
        """Return what tells these pixels from others of the same files."""
        may = hashlib.sha256(self.mirrorable.numpy().tobytes()).hexdigest()
        return ["augmented in batches", self.version, *astuple(self.source.augmentation), may]

    def pixels(self, start: int, end: int) -> Tensor:
        """Return the photos from ``start`` to ``end``; see :class:`training.inputs.features.Shown`."""
        seed = self.version * 1_000_003 + start
        coin = torch.rand(end - start, generator=torch.Generator().manual_seed(seed)) < 0.5
        seeds = self.version * 1_000_003 + torch.arange(start, end)
        _, pixels = self.source.read(torch.arange(start, end), coin & self.mirrorable[start:end], seeds)
        return pixels
