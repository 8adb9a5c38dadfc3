"""Where a model comes from: what identifies data, code and weights."""

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from captioner.config import to_dict
from training.data import CaptionedImage, CaptionSource, ShardSource
from training.data.shards import captions_sha256
from training.recipe import DataRecipe

MACHINE_FIELDS = (
    "runs",
    "cache",
    "encoder_weights",
    "decoder_weights",
    "start_from",
)  # where things lie is no part of how a model was made


def sha256(path: Path) -> str:
    """Return the hash of a file's contents."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def commit() -> str:
    """Return the commit of the code that is running, or "unknown" outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def public_recipe(recipe: Any) -> dict[str, Any]:
    """Return a recipe that has ``data`` without what only says where things lie."""
    public = {key: value for key, value in to_dict(recipe).items() if key not in MACHINE_FIELDS}
    public["data"] = {key: value for key, value in public["data"].items() if key != "root"}
    return public


def captions_provenance(
    data: DataRecipe, train: Sequence[CaptionedImage], val: Sequence[CaptionedImage]
) -> dict[str, Any]:
    """Return what identifies the photos and captions of a run."""
    return {
        "train_images": len(train),
        "train_captions": sum(len(image.captions) for image in train),
        "train_annotations_sha256": annotations_sha256(data.source("train"), train),
        "val_annotations_sha256": annotations_sha256(data.source("val"), val),
    }


def annotations_sha256(source: CaptionSource | ShardSource, images: Sequence[CaptionedImage]) -> str:
    """Return a hash of the file of captions, or of the ids and captions that are in shards.

    Args:
        source: Where they come from.
        images: What was found there.
    """
    return captions_sha256(images) if isinstance(source, ShardSource) else sha256(source.annotations)


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """Return a hash of weights and their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
