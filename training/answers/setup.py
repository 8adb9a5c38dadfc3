"""From a recipe to everything that learning to answer works with."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from captioner.answers.header import AnswerDescription, identify_encoder
from captioner.answers.network import AnswerNetwork
from captioner.checkpoint import build_checkpoint
from captioner.errors import ConfigError
from captioner.header import CheckpointFile
from captioner.model import CaptionModel
from captioner.tokenizers import TOKENIZERS
from training.answers.batches import choose_answers
from training.answers.recipe import AnswerRecipe
from training.errors import DataError
from training.inputs.features import CachedFeatures, cache_features
from training.inputs.photos import PlainPhotos
from training.inputs.sources import FeatureSource
from training.questions.files import PhotoQuestion
from training.runs.provenance import commit, sha256

FILES = ("train_questions", "train_answers", "val_questions", "val_answers")


@dataclass(frozen=True)
class AnswerBench:
    """What a run works with.

    Attributes:
        network: Fresh.
        description: What it is, with where it comes from as far as it is known before training.
        captioner: Whose encoder it sees by.
        questions: What to learn from.
        val_questions: What to validate on.
    """

    network: AnswerNetwork
    description: AnswerDescription
    captioner: CaptionModel
    questions: list[PhotoQuestion]
    val_questions: list[PhotoQuestion]


def set_up_answers(recipe: AnswerRecipe) -> AnswerBench:
    """Read the questions and the captioner, and build the network.

    Raises:
        CheckpointError: If the captioner cannot be used.
        ConfigError: If the network cannot be built, or the captioner's encoder makes no grid.
        DataError: If the questions cannot be used.
    """
    questions, val_questions = recipe.questions.read("train"), recipe.questions.read("val")
    file = CheckpointFile.read(Path(recipe.captioner).expanduser() if recipe.captioner else None)
    captioner = build_checkpoint(file).model
    if captioner.encoder.grid_size is None:
        raise ConfigError(f"{file.path}: its encoder makes no grid, at which a question could look")
    pieces = recipe.tokenizer
    texts = (one.text for one in questions)
    tokenizer = TOKENIZERS[pieces.name].learn(texts, pieces.min_count, pieces.max_size)
    answers = choose_answers(questions, recipe.questions)
    sizes = captioner.encoder.vector_size, captioner.encoder.grid_size
    torch.manual_seed(recipe.seed)
    network = AnswerNetwork(recipe.network, len(tokenizer), len(answers), *sizes)
    provenance = _provenance(recipe, file, questions, val_questions)
    description = AnswerDescription(recipe.network, tokenizer, answers, identify_encoder(file), sizes, provenance)
    return AnswerBench(network, description, captioner, questions, val_questions)


def _provenance(
    recipe: AnswerRecipe,
    captioner: CheckpointFile,
    questions: Sequence[PhotoQuestion],
    val_questions: Sequence[PhotoQuestion],
) -> dict[str, Any]:
    data = {f"{name}_sha256": sha256(recipe.questions.path(name)) for name in FILES}
    counts = {"train": len(questions), "val": len(val_questions)}
    training, network = recipe.training, recipe.network
    provenance = {
        "name": recipe.name,
        "version": recipe.version,
        "recipe": {"seed": recipe.seed, "network": vars(network), "training": vars(training)},
        "data": {"questions": counts, "photos": len({one.photo for one in questions}), **data},
        "captioner": {key: str(captioner.header()["provenance"].get(key, "")) for key in ("name", "version")},
        "most_frequent": most_frequent(questions),
        "commit": commit(),
    }
    return provenance | ({"license": recipe.license} if recipe.license else {})


def most_frequent(questions: Sequence[PhotoQuestion]) -> dict[str, str]:
    """Return the answer that is right most often of each kind of question: what a guess without looking is."""
    counts: dict[str, Counter[str]] = {}
    for one in questions:
        counts.setdefault(one.kind, Counter()).update(one.scores())
    return {kind: min(found, key=lambda answer: (-found[answer], answer)) for kind, found in sorted(counts.items())}


def photo_names(questions: Sequence[PhotoQuestion], folder: Path) -> list[str]:
    """Return the names of the photos that are asked about, each once.

    Raises:
        DataError: If one is missing.
    """
    names = sorted({one.photo for one in questions})
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise DataError(f"{folder}: {len(missing)} of {len(names)} photos are missing, such as {missing[0]}")
    return names


def plain_features(model: CaptionModel, folder: Path, names: Sequence[str], cache: Path, title: str) -> CachedFeatures:
    """Return what the frozen encoder makes of photos, in the order of their names."""
    photos = PlainPhotos([folder / name for name in names], model.config.image)
    return cache_features(model, photos, cache, title=title)


def training_features(recipe: AnswerRecipe, model: CaptionModel, names: Sequence[str]) -> FeatureSource:
    """Return what the frozen encoder makes of the training photos, and of the mirrored ones if they are learnt from."""
    folder, cache = recipe.questions.path("train_images"), Path(recipe.cache).expanduser()
    upright = plain_features(model, folder, names, cache, "encoding photos")
    if not recipe.questions.mirror:
        return FeatureSource(upright)
    mirrored = PlainPhotos([folder / name for name in names], model.config.image, True)
    return FeatureSource(upright, cache_features(model, mirrored, cache, title="encoding photos again, mirrored"))


def rows_of(names: Sequence[str]) -> Mapping[str, int]:
    """Return where each photo stands."""
    return {name: row for row, name in enumerate(names)}
