"""Encoders that start from random weights, and vocabularies that would be empty."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner.checkpoint import load_checkpoint
from captioner.config import ImageConfig
from captioner.encoders import ENCODERS
from training.captioning.setup import set_up
from training.concepts.recipe import ConceptLearningRecipe, ConceptRecipe, WordsRecipe
from training.errors import DataError
from training.initial.pretrained import start_encoder
from training.inputs.photos import PlainPhotos
from training.language.recipe import TextRecipe
from training.language.text import load_text
from training.recipe import Recipe, TokenizerRecipe
from training.runs.start import resume, start

pytestmark = pytest.mark.slow


def with_encoder(recipe: Recipe, encoder_name: str, **changes: Any) -> Recipe:
    encoder = replace(recipe.model.encoder, name=encoder_name)
    return replace(recipe, encoder_weights="random", model=replace(recipe.model, encoder=encoder), **changes)


def test_tiny_learns_to_caption(recipe: Recipe) -> None:
    trainer = start(with_encoder(recipe, "tiny", name="random"))
    before = {name: value.clone() for name, value in trainer.task.model.encoder.state_dict().items()}
    assert trainer.run()
    losses = [entry["loss"] for entry in trainer.progress.history]
    assert losses[-1] < losses[0]
    provenance = load_checkpoint(trainer.best_file).provenance
    assert provenance["encoder_weights"] == "random"
    assert len(provenance["encoder_weights_sha256"]) == 64
    again = resume(trainer.folder).task.model.encoder.state_dict()
    assert all(torch.equal(again[name], value) for name, value in before.items())
    other = set_up(with_encoder(recipe, "tiny", seed=2)).model.encoder.state_dict()
    assert not all(torch.equal(other[name], value) for name, value in before.items())


def test_weights_from_a_file_are_not_called_random(recipe: Recipe) -> None:
    assert "encoder_weights" not in set_up(recipe).provenance


def test_concepts_can_be_learnt_from_random_weights(recipe: Recipe) -> None:
    training = ConceptLearningRecipe(epochs=1, images_per_batch=7, encoder_stage="stride16")
    encoder, words = replace(recipe.model.encoder, name="tiny"), WordsRecipe(least_photos=2)
    told: dict[str, Any] = {"runs": recipe.runs, "cache": recipe.cache, "encoder_weights": "random"}
    concepts = ConceptRecipe(
        "c", recipe.data, encoder=encoder, image=ImageConfig(64), words=words, training=training, **told
    )
    trainer = start(concepts)
    assert trainer.task.bench.provenance["encoder_weights"] == "random"
    assert trainer.run()
    assert ("encoder", "tiny, 64 pixels, random weights") in trainer.overview()


@pytest.mark.parametrize("name", ["mobilenet_v2", "tiny"])
def test_random_features_differ_from_photo_to_photo(recipe: Recipe, name: str) -> None:
    """With fresh norms, the channels of a deep random network hardly differ between photos."""
    torch.manual_seed(0)
    images = recipe.data.source("train").load()
    encoder = ENCODERS[name](replace(recipe.model.encoder, name=name))
    modes = [module.training for module in encoder.modules()]
    start_encoder(encoder, name, "random", images, ImageConfig(64))
    assert [module.training for module in encoder.modules()] == modes
    pixels = PlainPhotos([image.path for image in images], ImageConfig(64)).pixels(0, len(images))
    with torch.inference_mode():
        vectors = encoder.eval()(pixels).vector
    assert vectors.isfinite().all()
    assert float(vectors.std(dim=0).mean()) > 0.05


def test_an_empty_vocabulary_is_refused(recipe: Recipe) -> None:
    rare = replace(recipe, tokenizer=TokenizerRecipe(min_count=1000))
    with pytest.raises(DataError, match=r"vocabulary would be empty: no word occurs tokenizer.min_count = 1000 times"):
        set_up(rare)


def test_an_empty_vocabulary_of_a_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("each word just once here")
    source = TextRecipe(("text.txt",), root=str(tmp_path), validation_share=0.2)
    with pytest.raises(DataError, match=r"the most frequent, '[a-z]+', has 1"):
        load_text(source, TokenizerRecipe(min_count=2))
