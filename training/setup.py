"""From a recipe to everything that a run works with."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from captioner.config import to_dict
from captioner.model import CaptionModel
from captioner.tokenizers import TOKENIZERS, Tokenizer
from training.data import CaptionedImage
from training.decoder_weights import take_over
from training.growing import grow
from training.language.model import load_language_model
from training.provenance import commit, sha256
from training.recipe import Recipe
from training.weights import pretrained_weights

MACHINE_FIELDS = (
    "runs",
    "cache",
    "encoder_weights",
    "decoder_weights",
    "start_from",
)  # where things lie is no part of how a model was made


@dataclass(frozen=True)
class Workbench:
    """What a run works with.

    Attributes:
        model: The model, its encoder pretrained and its decoder fresh, or started from other weights.
        tokenizer: Made from the training captions.
        images: What to learn from.
        val_images: What to validate on.
        provenance: Where the model comes from, as far as it is known before training.
    """

    model: CaptionModel
    tokenizer: Tokenizer
    images: list[CaptionedImage]
    val_images: list[CaptionedImage]
    provenance: Mapping[str, Any]


def set_up(recipe: Recipe) -> Workbench:
    """Read the captions and build the model.

    Raises:
        ConfigError: If the recipe's model or weights cannot be used.
        DataError: If annotations cannot be used.
    """
    data = recipe.data
    train, val = data.source("train").load(), data.source("val").load()
    model, tokenizer, weights = _build(recipe, train)
    return Workbench(model, tokenizer, train, val, _provenance(recipe, train, weights))


def _build(recipe: Recipe, train: list[CaptionedImage]) -> tuple[CaptionModel, Tokenizer, Mapping[str, Tensor]]:
    """Return the model, its tokenizer, and the weights that its encoder started from."""
    pieces = recipe.tokenizer
    captions = (text for image in train for text in image.captions)
    tokenizer = TOKENIZERS[pieces.name].learn(captions, pieces.min_count, pieces.max_size)
    torch.manual_seed(recipe.seed)
    if recipe.start_from:
        model, tokenizer = grow(Path(recipe.start_from).expanduser(), recipe.model, tokenizer)
        return model, tokenizer, model.encoder.state_dict()
    model = CaptionModel(recipe.model, len(tokenizer))
    weights = pretrained_weights(recipe.model.encoder.name, recipe.encoder_weights)
    model.encoder.load_pretrained(weights)
    _start_decoder(recipe, model, tokenizer)
    return model, tokenizer, weights


def _start_decoder(recipe: Recipe, model: CaptionModel, tokenizer: Tokenizer) -> None:
    if recipe.decoder_weights:
        language_model = load_language_model(Path(recipe.decoder_weights).expanduser())
        tqdm.write(str(take_over(model.decoder, tokenizer, language_model)))


def _provenance(recipe: Recipe, train: list[CaptionedImage], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    public = {key: value for key, value in to_dict(recipe).items() if key not in MACHINE_FIELDS}
    public["data"] = {key: value for key, value in public["data"].items() if key != "root"}
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    provenance = {
        "name": recipe.name,
        "version": recipe.version,
        "recipe": public,
        "data": {
            "train_images": len(train),
            "train_captions": sum(len(image.captions) for image in train),
            "train_annotations_sha256": sha256(recipe.data.path("train_annotations")),
            "val_annotations_sha256": sha256(recipe.data.path("val_annotations")),
        },
        "encoder_weights_sha256": digest.hexdigest(),
        "commit": commit(),
    }
    if recipe.decoder_weights:
        provenance["decoder_weights_sha256"] = sha256(Path(recipe.decoder_weights).expanduser())
    return provenance
