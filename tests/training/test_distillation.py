"""Learning without forgetting: the loss that holds an encoder to its old classes, and where it counts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from captioner.config import EncoderConfig
from captioner.encoders import Encoder, build_encoder
from captioner.errors import ConfigError
from training.distillation import ClassTeacher, DistillationRecipe, class_teacher

CONFIG = EncoderConfig(name="mobilenet_v2")


@pytest.fixture(scope="module")
def pretrained() -> Encoder:
    torch.manual_seed(0)
    encoder = build_encoder(CONFIG)
    with torch.no_grad():
        for _ in range(30):  # for statistics of batch norms that let something pass
            encoder(torch.randn(4, 3, 64, 64))
    return encoder.eval()


@pytest.fixture
def file(pretrained: Encoder, tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    torch.manual_seed(1)
    size = pretrained.vector_size
    classifier = {"classifier.1.weight": torch.randn(7, size), "classifier.1.bias": torch.randn(7)}
    save_file({**pretrained.pretrained_state(), **classifier}, path)
    return path


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_that_of_numpy(pretrained: Encoder, file: Path, temperature: float) -> None:
    teacher = ClassTeacher(CONFIG, DistillationRecipe(str(file), 3.0, temperature))
    pixels = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        old = pretrained(pixels).vector
        new = old + 0.1 * torch.randn_like(old)
        found = float(teacher(pixels, new))
    weight, bias = teacher.classifier_weight.double().numpy(), teacher.classifier_bias.double().numpy()
    wanted, given = ((v.double().numpy() @ weight.T + bias) / temperature for v in (old, new))
    old_probs, new_probs = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in (wanted, given))
    divergence = (old_probs * np.log(old_probs / new_probs)).sum(axis=1)
    np.testing.assert_allclose(found, 3 * temperature**2 * divergence.mean(), rtol=1e-3)


def test_who_forgets_nothing_pays_nothing(pretrained: Encoder, file: Path) -> None:
    teacher = ClassTeacher(CONFIG, DistillationRecipe(str(file)))
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert abs(float(teacher(pixels, pretrained(pixels).vector))) < 1e-6


def test_only_the_encoder_that_learns_is_moved(file: Path) -> None:
    teacher = ClassTeacher(CONFIG, DistillationRecipe(str(file)))
    vector = torch.randn(2, 1280, requires_grad=True)
    teacher(torch.randn(2, 3, 64, 64), vector).backward()
    assert vector.grad is not None
    assert vector.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_holding_an_encoder_to_its_classes_keeps_them(file: Path) -> None:
    """A step away from the old encoder is taken back by the loss alone."""
    teacher = ClassTeacher(CONFIG, DistillationRecipe(str(file)))
    encoder = build_encoder(CONFIG).eval()
    encoder.load_state_dict(teacher.encoder.state_dict())
    encoder.requires_grad_(False)
    last = encoder.get_submodule(f"trunk.{len(encoder.trunk) - 1}.1")
    scale = last.get_parameter("weight").requires_grad_(True)
    with torch.no_grad():
        scale.mul_(1 + 0.5 * torch.randn(scale.shape))
    pixels = torch.randn(4, 3, 64, 64)
    optimizer = torch.optim.Adam([scale], lr=0.02)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = teacher(pixels, encoder(pixels).vector)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


def test_weights_without_a_classifier_are_refused(pretrained: Encoder, tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_file(pretrained.pretrained_state(), path)
    with pytest.raises(ConfigError, match=r"bare\.safetensors: has 0 classifiers of vectors of 1280; it must have one"):
        ClassTeacher(CONFIG, DistillationRecipe(str(path)))


def test_nothing_is_held_to_nothing(file: Path) -> None:
    assert class_teacher(CONFIG, DistillationRecipe()) is None
    assert class_teacher(CONFIG, DistillationRecipe(str(file), weight=0.0)) is None
    assert class_teacher(CONFIG, DistillationRecipe(str(file))) is not None
