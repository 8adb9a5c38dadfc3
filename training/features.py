"""A cache on disk of what a frozen encoder makes of photos."""

import hashlib
import inspect
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from captioner.config import to_dict
from captioner.images import ImageTransform
from captioner.model import CaptionModel
from captioner.types import Features
from training.cache import locked, read_photo

BATCH = 16
NOTE_EVERY = 16  # batches after which a build notes how far it is


@dataclass(frozen=True)
class CachedFeatures:
    """The features of many photos, memory-mapped.

    Attributes:
        vector: ``[I, P]`` float16, one entry per photo.
        grid: ``[I, L, D]`` float16, one entry per photo, or ``None`` if the encoder gives the vector alone.
        rows: Number of grid rows, 0 without a grid.
        cols: Number of grid columns.
    """

    vector: NDArray[np.float16]
    grid: NDArray[np.float16] | None
    rows: int
    cols: int

    def batch(self, indices: Sequence[int]) -> Features:
        """Return the features of some photos as float32.

        Args:
            indices: Positions of the photos in the list that the cache was built from.
        """
        chosen = list(indices)
        vector = torch.from_numpy(self.vector[chosen]).float()
        grid = None if self.grid is None else torch.from_numpy(self.grid[chosen]).float()
        return Features(vector=vector, grid=grid, rows=self.rows, cols=self.cols)


def cache_features(model: CaptionModel, photos: Sequence[Path], root: Path, mirrored: bool = False) -> CachedFeatures:
    """Open the cached features of photos, computing them first where they are not yet there.

    The cache's name is a hash of the encoder, its weights and its code, of the preprocessing, and of every photo's
    content, so that a stale cache is never used. An interrupted build goes on where it was. Of several processes that
    want the same cache, one builds it and the others wait for it.

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
        with locked(folder):
            if not (folder / "index.json").exists():  # another process may just have built it
                _Build(model, photos, mirrored, folder).run()
    index = json.loads((folder / "index.json").read_text())
    vector = np.load(folder / "vector.npy", mmap_mode="r")
    grid = np.load(folder / "grid.npy", mmap_mode="r") if index["rows"] else None
    return CachedFeatures(vector, grid, index["rows"], index["cols"])


def _key(model: CaptionModel, photos: Sequence[Path], mirrored: bool) -> str:
    config = to_dict(model.config)
    digest = hashlib.sha256(json.dumps([config["encoder"], config["image"], mirrored], sort_keys=True).encode())
    for code in _code(model):  # what computes the features is part of what they are
        digest.update(code.read_bytes())
    for name, value in model.encoder.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    for photo in photos:
        digest.update(hashlib.sha256(photo.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _code(model: CaptionModel) -> list[Path]:
    """Return the files of the encoder's class, of those of ours that it inherits from, and of the preprocessing."""
    ours = [kind for kind in type(model.encoder).__mro__ if kind.__module__.split(".")[0] == "captioner"]
    return [Path(inspect.getfile(kind)) for kind in (*ours, ImageTransform)]


def _arrays(features: Features) -> dict[str, Tensor]:
    """Return what is stored of features, each under its file's name."""
    arrays = {"vector.npy": features.vector}
    return arrays if features.grid is None else {**arrays, "grid.npy": features.grid}


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
        first = self._encode(0)
        files = {name: self._open(name, array.shape[1:]) for name, array in _arrays(first).items()}
        done = json.loads(self.progress.read_text()) if self.progress.exists() else 0
        with tqdm(total=len(self.photos), initial=done, desc="encoding photos", unit="photo") as bar:
            for start in range(done, len(self.photos), BATCH):
                features = self._encode(start)
                end = start + len(features.vector)
                for name, array in _arrays(features).items():
                    files[name][start:end] = array.half().numpy()
                bar.update(end - start)
                if start // BATCH % NOTE_EVERY == NOTE_EVERY - 1:
                    self._note(end, files)
        self._note(len(self.photos), files)
        _write_json(self.folder / "index.json", {"rows": first.rows, "cols": first.cols})

    def _open(self, name: str, shape: torch.Size) -> np.memmap:
        path = self.folder / name
        if self.progress.exists() and path.exists():
            return open_memmap(path, mode="r+")
        return open_memmap(path, mode="w+", dtype=np.float16, shape=(len(self.photos), *shape))

    def _note(self, done: int, files: Mapping[str, np.memmap]) -> None:
        for file in files.values():
            file.flush()
        _write_json(self.progress, done)

    @torch.inference_mode()
    def _encode(self, start: int) -> Features:
        features: Features = self.model(self.transform.batch([*map(self._read, self.photos[start : start + BATCH])]))
        return features

    def _read(self, photo: Path) -> Image.Image:
        image = read_photo(photo)
        return ImageOps.mirror(image) if self.mirrored else image


def _write_json(path: Path, value: object) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value))
    os.replace(partial, path)
