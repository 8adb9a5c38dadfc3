"""From a recipe to everything that a run works with."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from captioner.decoders import members_of
from captioner.model import CaptionModel
from captioner.tokenizers import TOKENIZERS, Tokenizer
from training.data import CaptionedImage
from training.distillation import ClassTeacher, class_teacher
from training.initial.batch_norms import make_norms_fit
from training.initial.language_model import take_over
from training.initial.pretrained import RANDOM, start_encoder, weights_provenance
from training.initial.vocabulary import grow, learn_tokenizer
from training.language.model import LanguageModel, load_language_model
from training.recipe import Recipe
from training.runs.provenance import captions_provenance, commit, public_recipe, weights_sha256


def log_frequencies(tokenizer: Tokenizer, captions: Iterable[str]) -> Tensor:
    """Return the natural logarithms ``[V]`` of the tokens' shares of all that is predicted, one added to each count.

    As the output bias of a fresh decoder they save the first few hundred steps, which would learn little else.
    """
    counts = Counter(token for text in captions for token in (*tokenizer.encode(text), tokenizer.eos_id))
    shares = torch.tensor([counts[token] + 1.0 for token in range(len(tokenizer))])
    return (shares / shares.sum()).log()


@dataclass(frozen=True)
class Workbench:
    """What a run works with.

    Attributes:
        model: The model, its encoder pretrained and its decoder fresh, or started from other weights.
        tokenizer: Made from the training captions.
        images: What to learn from.
        val_images: What to validate on.
        provenance: Where the model comes from, as far as it is known before training.
        teacher: What its encoder must not forget; ``None`` if that is nothing.
    """

    model: CaptionModel
    tokenizer: Tokenizer
    images: list[CaptionedImage]
    val_images: list[CaptionedImage]
    provenance: Mapping[str, Any]
    teacher: ClassTeacher | None = None


def set_up(recipe: Recipe) -> Workbench:
    """Read the captions and build the model.

    Raises:
        ConfigError: If the recipe's model or weights cannot be used.
        DataError: If annotations cannot be used.
    """
    data = recipe.data
    train, val = data.source("train").load(), data.source("val").load()
    file = recipe.decoder_weights
    language_model = load_language_model(Path(file).expanduser()) if file else None
    model, tokenizer, weights = _build(recipe, train, language_model)
    provenance = _provenance(recipe, train, val, weights, language_model)  # of the weights as they came
    if any(phase.encoder_stage and not phase.freeze_norms for phase in recipe.training.phases):
        make_norms_fit(model.encoder, train, recipe.model.image)
    teacher = class_teacher(recipe.model.encoder, recipe.distillation) if recipe.training.fine_tunes else None
    return Workbench(model, tokenizer, train, val, provenance, teacher)


def _build(
    recipe: Recipe, train: list[CaptionedImage], language_model: LanguageModel | None
) -> tuple[CaptionModel, Tokenizer, Mapping[str, Tensor]]:
    """Return the model, its tokenizer, and the weights that its encoder started from."""
    pieces = recipe.tokenizer
    captions = [text for image in train for text in image.captions]
    if recipe.start_from:  # which has words already
        tokenizer = TOKENIZERS[pieces.name].learn(captions, pieces.min_count, pieces.max_size)
    else:
        tokenizer = learn_tokenizer(pieces, captions)
    torch.manual_seed(recipe.seed)
    if recipe.start_from:
        model, tokenizer = grow(Path(recipe.start_from).expanduser(), recipe.model, tokenizer)
        return model, tokenizer, model.encoder.state_dict()
    model = CaptionModel(recipe.model, len(tokenizer))
    weights = start_encoder(model.encoder, recipe.model.encoder.name, recipe.encoder_weights, train, recipe.model.image)
    _start_decoder(model, tokenizer, captions, language_model)
    return model, tokenizer, weights


def _start_decoder(
    model: CaptionModel, tokenizer: Tokenizer, captions: list[str], language_model: LanguageModel | None
) -> None:
    frequencies = log_frequencies(tokenizer, captions)
    for member in members_of(model.decoder):
        with torch.no_grad():
            member.output.bias.copy_(frequencies)
        if language_model:
            tqdm.write(str(take_over(member, tokenizer, language_model)))


def _provenance(
    recipe: Recipe,
    train: list[CaptionedImage],
    val: list[CaptionedImage],
    weights: Mapping[str, Tensor],
    language_model: LanguageModel | None,
) -> dict[str, Any]:
    provenance = {
        "name": recipe.name,
        "version": recipe.version,
        "recipe": public_recipe(recipe),
        "data": captions_provenance(recipe.data, train, val),
        "encoder_weights_sha256": weights_sha256(weights),
        "commit": commit(),
    }
    if recipe.license:
        provenance["license"] = recipe.license
    if recipe.encoder_weights == RANDOM:
        provenance["encoder_weights"] = RANDOM
    if found := weights_provenance(recipe.encoder_weights):
        provenance["encoder"] = found
    if language_model:
        provenance["decoder_weights_sha256"] = language_model.sha256
    return provenance
