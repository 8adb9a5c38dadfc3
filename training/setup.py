"""From a recipe to everything that a run works with."""

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from captioner.config import to_dict
from captioner.errors import ConfigError
from captioner.model import CaptionModel
from captioner.tokenizers import WordTokenizer
from training.batches import CaptionBatches
from training.coco import CaptionedImage, load_captioned_images
from training.features import CachedFeatures, cache_features
from training.recipe import Recipe

MACHINE_FIELDS = ("runs", "cache", "encoder_weights")  # where things lie is no part of how a model was made


@dataclass(frozen=True)
class Workbench:
    """What a run works with.

    Attributes:
        model: The model, its encoder pretrained and its decoder fresh.
        tokenizer: Made from the training captions.
        batches: What to learn from.
        val_images: What to validate on.
        val_features: The features of those photos.
        provenance: Where the model comes from, as far as it is known before training.
    """

    model: CaptionModel
    tokenizer: WordTokenizer
    batches: CaptionBatches
    val_images: list[CaptionedImage]
    val_features: CachedFeatures
    provenance: Mapping[str, Any]


def set_up(recipe: Recipe) -> Workbench:
    """Read the data, build the model, and open (or build) the feature cache.

    Raises:
        ConfigError: If the recipe's model or weights cannot be used.
        DataError: If annotations or photos cannot be used.
    """
    data = recipe.data
    train = load_captioned_images(data.path("train_annotations"), data.path("train_images"))
    val = load_captioned_images(data.path("val_annotations"), data.path("val_images"))
    tokenizer = WordTokenizer.from_captions((text for image in train for text in image.captions), data.min_count)
    torch.manual_seed(recipe.seed)
    model = CaptionModel(recipe.model, len(tokenizer))
    weights = pretrained_weights(recipe)
    model.encoder.load_pretrained(weights)
    cache = Path(recipe.cache).expanduser()
    photos = [image.path for image in train]
    batches = CaptionBatches(
        train,
        upright=cache_features(model, photos, cache),
        mirrored=cache_features(model, photos, cache, mirrored=True) if data.mirror else None,
        tokenizer=tokenizer,
        size=recipe.training.images_per_batch,
        max_words=data.max_words,
        seed=recipe.seed,
    )
    val_features = cache_features(model, [image.path for image in val], cache)
    return Workbench(model, tokenizer, batches, val, val_features, _provenance(recipe, train, weights))


def pretrained_weights(recipe: Recipe) -> dict[str, Tensor]:
    """Read the encoder's pretrained weights from the recipe's file, or let torchvision download its own.

    Raises:
        ConfigError: If the file cannot be read.
    """
    if not recipe.encoder_weights:
        name = recipe.model.encoder.name
        return dict(torchvision.models.get_model(name, weights="DEFAULT").state_dict())
    path = Path(recipe.encoder_weights).expanduser()
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"encoder_weights {path}: not a readable safetensors file: {error}") from None


def _provenance(recipe: Recipe, train: list[CaptionedImage], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    public = {key: value for key, value in to_dict(recipe).items() if key not in MACHINE_FIELDS}
    public["data"] = {key: value for key, value in public["data"].items() if key != "root"}
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return {
        "name": recipe.name,
        "version": recipe.version,
        "recipe": public,
        "data": {
            "train_images": len(train),
            "train_captions": sum(len(image.captions) for image in train),
            "train_annotations_sha256": _sha256(recipe.data.path("train_annotations")),
            "val_annotations_sha256": _sha256(recipe.data.path("val_annotations")),
        },
        "encoder_weights_sha256": digest.hexdigest(),
        "commit": _commit(),
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _commit() -> str:
    """Return the commit of the code that is running, or "unknown" outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
