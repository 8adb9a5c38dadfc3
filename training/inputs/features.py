"""A cache on disk of what a frozen encoder makes of photos."""

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from captioner.config import to_dict
from captioner.files import write_whole
from captioner.images import ImageTransform
from captioner.model import CaptionModel
from captioner.types import Features
from training.inputs.photos import hash_photos, locked

BATCH = 16
NOTE_EVERY = 16  # batches after which a build notes how far it is


class Shown(Protocol):
    """Photos as a frozen encoder is shown them."""

    @property
    def paths(self) -> Sequence[Path]:
        """The files, in the order in which a cache holds them."""
        ...

    def describe(self) -> Any:
        """Return what tells these pixels from others of the same files, as JSON values."""
        ...

    def pixels(self, start: int, end: int) -> Tensor:
        """Return the photos from ``start`` to ``end`` as ``[B, 3, H, W]``, a pure function of the arguments.

        Raises:
            DataError: If a photo cannot be read; the message names it.
        """
        ...


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


def cache_features(
    model: CaptionModel, shown: Shown, root: Path, low_precision: bool = False, title: str = "encoding photos"
) -> CachedFeatures:
    """Open the cached features of photos, computing them first where they are not yet there.

    The cache's name is a hash of the encoder, its weights and its code, of the preprocessing, and of every photo's
    content, so that a stale cache is never used. An interrupted build goes on where it was. Of several processes that
    want the same cache, one builds it and the others wait for it.

    Args:
        model: Whose encoder to use.
        shown: The photos, and how they are shown.
        root: Folder of all caches.
        low_precision: Whether the encoder multiplies in bfloat16, nearly three times as fast where hardware does it.
        title: Of the progress bar.

    Raises:
        DataError: If a photo cannot be read; the message names it.
    """
    folder = root / _key(model, shown, low_precision)
    if not (folder / "index.json").exists():
        with locked(folder):
            if not (folder / "index.json").exists():  # another process may just have built it
                _Build(model, shown, low_precision, folder).run(title)
    index = json.loads((folder / "index.json").read_text())
    vector = np.load(folder / "vector.npy", mmap_mode="r")
    grid = np.load(folder / "grid.npy", mmap_mode="r") if index["rows"] else None
    return CachedFeatures(vector, grid, index["rows"], index["cols"])


def _key(model: CaptionModel, shown: Shown, low_precision: bool) -> str:
    config = to_dict(model.config)
    how = [config["encoder"], config["image"], shown.describe(), low_precision]
    digest = hashlib.sha256(json.dumps(how, sort_keys=True).encode())
    for code in (
        *_code(model),
        Path(inspect.getfile(type(shown))),
    ):  # what computes the features is part of what they are
        digest.update(code.read_bytes())
    for name, value in model.encoder.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    hash_photos(digest, shown.paths)
    return digest.hexdigest()[:32]


def _code(model: CaptionModel) -> list[Path]:
    """Return the files of the encoder's classes and of the preprocessing."""
    return [Path(inspect.getfile(kind)) for kind in (*model.encoder.kinds, ImageTransform)]


def _arrays(features: Features) -> dict[str, Tensor]:
    """Return what is stored of features, each under its file's name."""
    arrays = {"vector.npy": features.vector}
    return arrays if features.grid is None else {**arrays, "grid.npy": features.grid}


class _Build:
    """One build of a cache folder; ``index.json`` is written last and says that the cache is whole."""

    def __init__(self, model: CaptionModel, shown: Shown, low_precision: bool, folder: Path) -> None:
        self.model = model.eval()
        self.shown = shown
        self.count = len(shown.paths)
        self.low_precision = low_precision
        self.folder = folder
        self.progress = folder / "progress.json"

    def run(self, title: str) -> None:
        """Encode the photos that are not yet encoded, under a progress bar of that title."""
        first = self._encode(0)
        files = {name: self._open(name, array.shape[1:]) for name, array in _arrays(first).items()}
        done = json.loads(self.progress.read_text()) if self.progress.exists() else 0
        with tqdm(total=self.count, initial=done, desc=title, unit="photo") as bar:
            for start in range(done, self.count, BATCH):
                features = self._encode(start)
                end = start + len(features.vector)
                for name, array in _arrays(features).items():
                    files[name][start:end] = array.half().cpu().numpy()
                bar.update(end - start)
                if start // BATCH % NOTE_EVERY == NOTE_EVERY - 1:
                    self._note(end, files)
        self._note(self.count, files)
        _write_json(self.folder / "index.json", {"rows": first.rows, "cols": first.cols})

    def _open(self, name: str, shape: torch.Size) -> np.memmap:
        path = self.folder / name
        if self.progress.exists() and path.exists():
            return open_memmap(path, mode="r+")
        return open_memmap(path, mode="w+", dtype=np.float16, shape=(self.count, *shape))

    def _note(self, done: int, files: Mapping[str, np.memmap]) -> None:
        for file in files.values():
            file.flush()
        _write_json(self.progress, done)

    @torch.inference_mode()
    def _encode(self, start: int) -> Features:
        pixels = self.shown.pixels(start, min(start + BATCH, self.count))
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.low_precision):
            features: Features = self.model(pixels.to(device))
        return features


def _write_json(path: Path, value: object) -> None:
    write_whole(path, json.dumps(value))
