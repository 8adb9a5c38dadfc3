"""From a recipe of concepts to everything that its run works with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captioner.encoders import ENCODERS
from captioner.tokenizers import TOKENIZERS, Tokenizer
from training.concepts.network import ConceptNetwork
from training.concepts.recipe import ConceptRecipe
from training.concepts.words import captions_each, choose_words, count_words
from training.data import CaptionedImage
from training.encoder_weights import start_encoder
from training.initial.batch_norms import make_norms_fit
from training.initial.pretrained import RANDOM
from training.runs.provenance import captions_provenance, commit, public_recipe, weights_sha256


@dataclass(frozen=True)
class ConceptBench:
    """What a run works with.

    Attributes:
        network: The pretrained encoder and a fresh classifier.
        tokenizer: Made from the training captions.
        words: The K concepts.
        images: What to learn from.
        targets: ``[I, K]``, from 0 to 1: how certain it is that they have the concepts.
        val_images: What to validate on.
        val_present: ``[J, K]``, whether these have the concepts, by two captions or the only one.
        provenance: Where the encoder comes from, as far as it is known before training.
    """

    network: ConceptNetwork
    tokenizer: Tokenizer
    words: list[str]
    images: list[CaptionedImage]
    targets: Tensor
    val_images: list[CaptionedImage]
    val_present: Tensor
    provenance: Mapping[str, Any]


def set_up_concepts(recipe: ConceptRecipe) -> ConceptBench:
    """Read the captions, choose the concepts and build the network.

    Raises:
        ConfigError: If the encoder or its weights cannot be used.
        DataError: If annotations cannot be used, or give no concept.
    """
    images, val_images = recipe.data.source("train").load(), recipe.data.source("val").load()
    captions = (text for image in images for text in image.captions)
    tokenizer = TOKENIZERS[recipe.tokenizer].learn(captions, min_count=1)
    words = choose_words(images, tokenizer.split, recipe.words)
    torch.manual_seed(recipe.seed)
    encoder = ENCODERS[recipe.encoder.name](recipe.encoder)
    weights = start_encoder(encoder, recipe.encoder.name, recipe.encoder_weights, images, recipe.image)
    if not recipe.training.freeze_norms:
        make_norms_fit(encoder, images, recipe.image)
    sure = captions_each(images).clamp(max=recipe.words.agreement)
    val_sure = captions_each(val_images).clamp(max=2)
    return ConceptBench(
        network=ConceptNetwork(encoder, len(words), recipe.training.dropout),
        tokenizer=tokenizer,
        words=words,
        images=images,
        targets=(count_words(images, tokenizer.split, words) / sure).clamp(max=1),
        val_images=val_images,
        val_present=count_words(val_images, tokenizer.split, words) >= val_sure,
        provenance={
            "name": recipe.name,
            "version": recipe.version,
            "recipe": public_recipe(recipe),
            "data": captions_provenance(recipe.data, images),
            "encoder_weights_sha256": weights_sha256(weights),
            **({"encoder_weights": RANDOM} if recipe.encoder_weights == RANDOM else {}),
            "commit": commit(),
        },
    )
