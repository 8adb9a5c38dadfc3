"""A cache on disk of what a frozen encoder makes of photos."""

import hashlib
import inspect
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from captioner.config import to_dict
from captioner.errors import ImageError
from captioner.images import ImageTransform, read_image
from captioner.model import CaptionModel
from captioner.types import Features
from training.errors import DataError

BATCH = 16
NOTE_EVERY = 16  # batches after which a build notes how far it is


@dataclass(frozen=True)
class CachedFeatures:
    """The features of many photos, memory-mapped.

    Attributes:
        vector: ``[I, P]`` float16, one entry per photo.
        grid: ``[I, L, D]`` float16, one entry per photo.
        rows: Number of grid rows.
        cols: Number of grid columns.
    """

    vector: NDArray[np.float16]
    grid: NDArray[np.float16]
    rows: int
    cols: int

    def batch(self, indices: Sequence[int]) -> Features:
        """Return the features of some photos as float32.

        Args:
            indices: Positions of the photos in the list that the cache was built from.
        """
        chosen = list(indices)
        vector, grid = (torch.from_numpy(array[chosen]).float() for array in (self.vector, self.grid))
        return Features(vector=vector, grid=grid, rows=self.rows, cols=self.cols)


def cache_features(model: CaptionModel, photos: Sequence[Path], root: Path, mirrored: bool = False) -> CachedFeatures:
    """Open the cached features of photos, computing them first where they are not yet there.

    The cache's name is a hash of the encoder, its weights and its code, of the preprocessing, and of every photo's
    content, so that a stale cache is never used. An interrupted build goes on where it was.

    Args:
        model: Whose encoder to use.
        photos: Files, in the order in which the cache will hold them.
        root: Folder of all caches.
        mirrored: Whether to mirror every photo left to right.

    Raises:
        DataError: If a photo cannot be read; the message names it.
    """
    folder = root / _key(model, photos, mirrored)
    if not (folder / "index.json").exists():
        _Build(model, photos, mirrored, folder).run()
    index = json.loads((folder / "index.json").read_text())
    vector, grid = (np.load(folder / name, mmap_mode="r") for name in ("vector.npy", "grid.npy"))
    return CachedFeatures(vector, grid, index["rows"], index["cols"])


def _key(model: CaptionModel, photos: Sequence[Path], mirrored: bool) -> str:
    config = to_dict(model.config)
    digest = hashlib.sha256(json.dumps([config["encoder"], config["image"], mirrored], sort_keys=True).encode())
    for code in (type(model.encoder), ImageTransform):  # what computes the features is part of what they are
        digest.update(Path(inspect.getfile(code)).read_bytes())
    for name, value in model.encoder.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    for photo in photos:
        digest.update(hashlib.sha256(photo.read_bytes()).digest())
    return digest.hexdigest()[:32]


class _Build:
    """One build of a cache folder; ``index.json`` is written last and says that the cache is whole."""

    def __init__(self, model: CaptionModel, photos: Sequence[Path], mirrored: bool, folder: Path) -> None:
        self.model = model.eval()
        self.photos = photos
        self.mirrored = mirrored
        self.folder = folder
        self.progress = folder / "progress.json"
        self.transform = ImageTransform(model.config.image)

    def run(self) -> None:
        """Encode the photos that are not yet encoded."""
        self.folder.mkdir(parents=True, exist_ok=True)
        first = self._encode(0)
        vector = self._open("vector.npy", first.vector.shape[1:])
        grid = self._open("grid.npy", first.grid.shape[1:])
        done = json.loads(self.progress.read_text()) if self.progress.exists() else 0
        with tqdm(total=len(self.photos), initial=done, desc="encoding photos", unit="photo") as bar:
            for start in range(done, len(self.photos), BATCH):
                features = self._encode(start)
                end = start + len(features.vector)
                vector[start:end] = features.vector.half().numpy()
                grid[start:end] = features.grid.half().numpy()
                bar.update(end - start)
                if start // BATCH % NOTE_EVERY == NOTE_EVERY - 1:
                    self._note(end, vector, grid)
        self._note(len(self.photos), vector, grid)
        _write_json(self.folder / "index.json", {"rows": first.rows, "cols": first.cols})

    def _open(self, name: str, shape: torch.Size) -> np.memmap:
        path = self.folder / name
        if self.progress.exists() and path.exists():
            return open_memmap(path, mode="r+")
        return open_memmap(path, mode="w+", dtype=np.float16, shape=(len(self.photos), *shape))

    def _note(self, done: int, *arrays: np.memmap) -> None:
        for array in arrays:
            array.flush()
        _write_json(self.progress, done)

    @torch.inference_mode()
    def _encode(self, start: int) -> Features:
        features: Features = self.model(self.transform.batch([*map(self._read, self.photos[start : start + BATCH])]))
        return features

    def _read(self, photo: Path) -> Image.Image:
        try:
            image = read_image(photo.read_bytes())
        except ImageError as error:
            raise DataError(f"{photo}: {error}") from None
        return ImageOps.mirror(image) if self.mirrored else image


def _write_json(path: Path, value: object) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value))
    os.replace(partial, path)
