"""From a recipe to the model that grows, the model that it was, and what they see."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch

from captioner.checkpoint import Checkpoint, load_checkpoint
from captioner.model import CaptionModel
from captioner.tokenizers import TOKENIZERS, Tokenizer
from training.data import CaptionedImage
from training.errors import TrainingError
from training.growing.recipe import GrowRecipe
from training.initial.vocabulary import grow
from training.runs.provenance import commit


@dataclass(frozen=True)
class GrowBench:
    """What a run works with.

    Attributes:
        old: The model as it is.
        model: The same one with the corrections' new words, which learns.
        tokenizer: That knows them.
        corrections: Corrected photos.
        remembered: Old photos that are shown again.
        provenance: Where the new model comes from.
    """

    old: Checkpoint
    model: CaptionModel
    tokenizer: Tokenizer
    corrections: list[CaptionedImage]
    remembered: list[CaptionedImage]
    provenance: dict[str, Any]

    @property
    def new_words(self) -> Sequence[str]:
        """What the old model did not know."""
        return self.tokenizer.vocabulary[len(self.old.tokenizer.vocabulary) :]


def set_up_growth(recipe: GrowRecipe) -> GrowBench:
    """Read the corrections and the old captions, and give the model its new words.

    Raises:
        CheckpointError: If the model cannot be used.
        DataError: If the corrections or the captions cannot be used.
        TrainingError: If the checkpoint was replaced since the recipe was made.
    """
    corrections = recipe.corrected.load()
    path = Path(recipe.checkpoint)
    old = load_checkpoint(path)
    texts = [text for image in corrections for text in image.captions]
    learnt = TOKENIZERS[old.tokenizer.name].learn(texts, 1, 0)
    torch.manual_seed(recipe.seed)
    model, tokenizer = grow(path, old.model.config, learnt)
    new = set(tokenizer.vocabulary[len(old.tokenizer.vocabulary) :])
    source = recipe.old
    remembered = choose_old(source.load(), new, tokenizer, recipe) if source else []
    provenance = grown_provenance(old.provenance, recipe, len(texts), sorted(new))
    return GrowBench(old, model, tokenizer, corrections, remembered, provenance)


def choose_old(
    images: Sequence[CaptionedImage], new: set[str], tokenizer: Tokenizer, recipe: GrowRecipe
) -> list[CaptionedImage]:
    """Return old photos to show again: up to a quarter are those whose captions have new words, the others by chance.

    Of each photo's captions those with new words come first.
    """
    training, random = recipe.training, Random(recipe.seed)  # noqa: S311 - no secret

    def tells(text: str) -> bool:
        return not new.isdisjoint(tokenizer.split(text))

    telling = [image for image in images if any(map(tells, image.captions))][: training.old_photos // 4]
    taken = {image.image_id for image in telling}
    others = [image for image in images if image.image_id not in taken]
    rest = random.sample(others, min(len(others), training.old_photos - len(telling)))
    return [
        replace(
            image, captions=tuple(sorted(image.captions, key=lambda text: not tells(text)))[: training.old_captions]
        )
        for image in (*telling, *rest)
    ]


def grown_provenance(before: Any, recipe: GrowRecipe, corrections: int, new_words: Sequence[str]) -> dict[str, Any]:
    """Return where the new model comes from: all that is known of the old one, and what was added."""
    growth = [*before.get("grown", ())]
    version = str(before.get("version", "1"))
    base = version.removesuffix(f".{len(growth)}") if growth else version
    step = {
        "from_sha256": recipe.checkpoint_sha256,
        "corrections": corrections,
        "corrections_sha256": recipe.corrections_sha256,
        "new_words": list(new_words),
        "commit": commit(),
    }
    return {**before, "version": f"{base}.{len(growth) + 1}", "grown": [*growth, step]}


def require_same(recipe: GrowRecipe, sha256: str) -> None:
    """Make sure that the checkpoint is the one that the recipe was made for.

    Raises:
        TrainingError: If it was replaced.
    """
    if sha256 != recipe.checkpoint_sha256:
        raise TrainingError(f"{recipe.checkpoint} was replaced meanwhile; run the command again")
