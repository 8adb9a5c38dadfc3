"""Folded batch norms get their statistics back."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from captioner.config import EncoderConfig
from captioner.encoders import ENCODERS, Encoder
from captioner.types import Features
from tests.support.networks import calibrate, draw_weights
from training.captioning.setup import set_up
from training.concepts.recipe import ConceptRecipe
from training.concepts.task import set_up_concepts
from training.initial.batch_norms import folded, restore_norms
from training.phase import PhaseRecipe
from training.recipe import DataRecipe, Recipe

pytestmark = pytest.mark.slow

PATHS = ("train_annotations", "train_images", "val_annotations", "val_images")
NORMED = ["efficientnet_b0", "mobilenet_v2", "mobilenet_v3_large", "resnet50"]


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def fold(network: nn.Module) -> None:
    """Multiply every norm's statistics into its scale and shift, as deployment does."""
    for norm in norms(network):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias.sub_(gain * norm.running_mean)
        norm.weight.copy_(gain * (1 + norm.eps) ** 0.5)
        norm.running_mean.zero_()
        norm.running_var.fill_(1)


def deployed(name: str) -> Encoder:
    encoder = ENCODERS[name](EncoderConfig(name))
    draw_weights(encoder)
    calibrate(encoder)
    assert not folded(encoder)
    fold(encoder)
    assert folded(encoder)
    return encoder


def photos(count: int) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def grid(encoder: Encoder, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        features: Features = encoder(pixels)
    return features.require_grid()


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMED)
def test_the_network_stays_the_same_and_its_norms_may_follow_their_batches(name: str) -> None:
    encoder, pixels = deployed(name), photos(24)
    before = grid(encoder, pixels)
    restore_norms(encoder, [pixels[:7], pixels[7:20], pixels[20:]])
    assert not folded(encoder)
    assert not encoder.training
    after = grid(encoder, pixels)
    scale = float(before.abs().max())
    assert float((after - before).abs().max()) < 1e-3 * scale
    for norm in norms(encoder):  # all photos are a batch now, whose statistics the norms already have
        norm.train()
    assert float((grid(encoder, pixels) - before).abs().max()) < 1e-2 * scale


@pytest.mark.slow
def test_norms_know_the_mean_and_variance_of_their_inputs() -> None:
    encoder, pixels = deployed("resnet50"), photos(10)
    restore_norms(encoder, [pixels[:3], pixels[3:]])
    seen: dict[nn.Module, Tensor] = {}
    for norm in norms(encoder):
        norm.register_forward_pre_hook(lambda norm, inputs: seen.update({norm: inputs[0]}))
    grid(encoder, pixels)
    for norm in norms(encoder):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        torch.testing.assert_close(norm.running_mean, seen[norm].mean((0, 2, 3)), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(norm.running_var, seen[norm].var((0, 2, 3), correction=0), rtol=1e-2, atol=1e-3)


def test_what_has_no_folded_norms_is_left_alone() -> None:
    assert not folded(ENCODERS["tiny"](EncoderConfig("tiny")))
    encoder = deployed("mobilenet_v2")
    norm = norms(encoder)[3]
    assert norm.running_mean is not None
    norm.running_mean[0] = 0.1
    assert not folded(encoder)


@pytest.fixture
def deployed_weights(tmp_path: Path) -> str:
    encoder = deployed("mobilenet_v2")
    path = tmp_path / "deployed.pth"
    torch.save(encoder.pretrained_state(), path)
    return str(path)


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(("stage", "freeze_norms"), [("stride32", False), ("stride32", True), ("", False)])
def test_a_run_restores_norms_only_if_they_learn(
    recipe: Recipe, deployed_weights: str, stage: str, freeze_norms: bool
) -> None:
    phase = PhaseRecipe(epochs=1, encoder_stage=stage, freeze_norms=freeze_norms)
    recipe = replace(recipe, training=replace(recipe.training, phases=(phase,)), encoder_weights=deployed_weights)
    encoder, again = set_up(recipe).model.encoder, set_up(recipe).model.encoder
    assert folded(encoder) == (not stage or freeze_norms)
    assert same(encoder.state_dict(), again.state_dict())


@pytest.mark.parametrize("freeze_norms", [True, False])
def test_a_run_of_concepts_does_so_too(recipe: Recipe, deployed_weights: str, freeze_norms: bool) -> None:
    data = DataRecipe(**{name: getattr(recipe.data, name) for name in ("root", *PATHS)})
    concepts = ConceptRecipe("words", data, encoder_weights=deployed_weights, image=recipe.model.image)
    concepts = replace(
        concepts,
        words=replace(concepts.words, least_photos=2),
        training=replace(concepts.training, freeze_norms=freeze_norms),
    )
    assert folded(set_up_concepts(concepts).network.encoder) == freeze_norms
