"""A cache on disk of what a frozen encoder makes of photos."""

import hashlib
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from captioner.config import to_dict
from captioner.files import write_whole
from captioner.images import ImageTransform
from captioner.model import CaptionModel
from captioner.types import Features
from training.data.photos import PhotoFile
from training.inputs.photos import hash_photos
from training.inputs.shards import Layout, ShardedRows, fill

BATCH = 16
INDEX = "index.json"


class Shown(Protocol):
    """Photos as a frozen encoder is shown them."""

    @property
    def paths(self) -> Sequence[PhotoFile]:
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


class Rows(Protocol):
    """An array whose rows can be chosen by their numbers."""

    def __getitem__(self, indices: list[int], /) -> NDArray[Any]:
        """Return rows."""
        ...


@dataclass(frozen=True)
class CachedFeatures:
    """The features of many photos.

    Attributes:
        vector: ``[I, P]`` float16, one entry per photo.
        grid: ``[I, L, D]`` float16, one entry per photo, or ``None`` if the encoder gives the vector alone.
        rows: Number of grid rows, 0 without a grid.
        cols: Number of grid columns.
    """

    vector: Rows
    grid: Rows | None
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
    content, so that a stale cache is never used. It is in files of bounded size (:mod:`training.inputs.shards`): an
    interrupted build goes on where it was, and processes that want the same cache build it together.

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
    if not (folder / INDEX).exists():
        _Build(model, shown, low_precision, folder).run(title)
    index = json.loads((folder / INDEX).read_text())
    layout = Layout(folder, len(shown.paths), index["each"])
    grid = ShardedRows(layout, "grid") if index["rows"] else None
    return CachedFeatures(ShardedRows(layout, "vector"), grid, index["rows"], index["cols"])


def _key(model: CaptionModel, shown: Shown, low_precision: bool) -> str:
    config = to_dict(model.config)
    how = ["shards", config["encoder"], config["image"], shown.describe(), low_precision]
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
    """Return what is stored of features, each under its array's name."""
    arrays = {"vector": features.vector}
    return arrays if features.grid is None else {**arrays, "grid": features.grid}


class _Build:
    """One build of a cache folder; its index is written last and says that the cache is whole."""

    def __init__(self, model: CaptionModel, shown: Shown, low_precision: bool, folder: Path) -> None:
        self.model = model.eval()
        self.shown = shown
        self.count = len(shown.paths)
        self.low_precision = low_precision
        self.folder = folder

    def run(self, title: str) -> None:
        """Encode the photos that are not yet encoded, under a progress bar of that title."""
        first = self._encode(0, min(BATCH, self.count))
        shapes = {name: (tuple(array.shape[1:]), np.float16) for name, array in _arrays(first).items()}
        row_bytes = max(2 * math.prod(shape) for shape, _ in shapes.values())
        layout = Layout.of(self.folder, self.count, row_bytes, BATCH)
        fill(layout, shapes, self._write, title)
        index = {"rows": first.rows, "cols": first.cols, "each": layout.each}
        write_whole(self.folder / INDEX, json.dumps(index))

    def _write(self, rows: range, files: Mapping[str, NDArray[Any]], bar: tqdm) -> None:
        """Encode some photos."""
        for start in rows[::BATCH]:
            end = min(start + BATCH, rows.stop)
            for name, array in _arrays(self._encode(start, end)).items():
                files[name][start - rows.start : end - rows.start] = array.half().cpu().numpy()
            bar.update(end - start)

    @torch.inference_mode()
    def _encode(self, start: int, end: int) -> Features:
        pixels = self.shown.pixels(start, end)
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.low_precision):
            features: Features = self.model(pixels.to(device))
        return features
