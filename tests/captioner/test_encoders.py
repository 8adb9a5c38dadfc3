"""What every encoder promises, for every registered name."""

from typing import Literal

import pytest
import torch
import torchvision
from torch.nn import functional as F

from captioner.config import EncoderConfig
from captioner.encoders import ENCODERS, Encoder
from captioner.errors import ConfigError


@pytest.fixture(params=list(ENCODERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def build(name: str, padding: Literal["symmetric", "same"] = "symmetric") -> Encoder:
    torch.manual_seed(0)
    return ENCODERS[name](EncoderConfig(name, padding)).eval()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96)])
def test_shapes(name: str, height: int, width: int) -> None:
    encoder = build(name)
    with torch.inference_mode():
        features = encoder(torch.randn(2, 3, height, width))
    assert (features.rows, features.cols) == (height // encoder.stride, width // encoder.stride)
    assert features.grid.shape == (2, features.rows * features.cols, encoder.grid_size)
    assert features.vector.shape == (2, encoder.vector_size)


def test_locations_are_row_by_row_from_the_top_left(name: str) -> None:
    encoder = build(name)
    plain = torch.zeros(1, 3, 256, 256)
    changed = plain.clone()
    changed[:, :, 192:, :64] = 5.0  # the bottom left corner
    with torch.inference_mode():
        before, after = encoder(plain), encoder(changed)
    change = (after.grid - before.grid).abs().sum(dim=2).reshape(before.rows, before.cols)
    half = before.rows // 2
    quarters = {(r, c): float(change[r : r + half, c : c + half].mean()) for r in (0, half) for c in (0, half)}
    assert max(quarters, key=lambda quarter: quarters[quarter]) == (half, 0)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("col", [14, 17])
def test_cells_are_centred_on_their_part_of_the_image(
    name: str, col: int, padding: Literal["symmetric", "same"]
) -> None:
    encoder = build(name, padding)
    for parameter in encoder.parameters():  # every layer a mean, so that a gradient is a symmetric receptive field
        torch.nn.init.constant_(parameter, 1 / max(1, parameter[0].numel()) if parameter.ndim > 1 else 1)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.zeros_(module.bias)
    pixels = torch.full((1, 3, 64, 1024), 1e-3, requires_grad=True)
    features = encoder(pixels)
    features.grid.reshape(features.rows, features.cols, -1)[0, col].sum().backward()
    assert pixels.grad is not None
    weight = pixels.grad.abs().sum(dim=(0, 1, 2))
    centre = float((weight * (torch.arange(1024) + 0.5)).sum() / weight.sum())
    assert centre == pytest.approx((col + 0.5) * encoder.stride, abs=1)


def test_mobilenet_v2_equals_torchvision() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.mobilenet_v2(weights=None).eval()
    ours = build("mobilenet_v2")
    ours.load_pretrained(theirs.state_dict())
    pixels = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        features, maps = ours(pixels), theirs.features(F.pad(pixels, (16, 0, 16, 0)))[:, :, 1:, 1:]
        torch.testing.assert_close(features.grid.transpose(1, 2).unflatten(2, (3, 3)), maps)
        torch.testing.assert_close(features.vector, maps.mean(dim=(2, 3)))


def test_same_padding_pads_as_tensorflow_does() -> None:
    """Against a convolution of the padding's definition: all that is missing, half of it rounded down before."""
    encoder = build("mobilenet_v2", "same")
    first = next(module for module in encoder.modules() if isinstance(module, torch.nn.Conv2d))
    pixels = torch.randn(1, 3, 64, 64)
    missing = (64 // 2 - 1) * 2 + 3 - 64
    before, after = missing // 2, missing - missing // 2
    padded = F.pad(pixels, (before, after, before, after))
    torch.testing.assert_close(first(pixels), F.conv2d(padded, first.weight, first.bias, stride=2))


def test_foreign_weights_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"not torchvision's weights for {name}"):
        build(name).load_pretrained({"layer1.weight": torch.zeros(1)})


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"unknown encoder 'resnet9000'; choose one of: .*mobilenet_v2"):
        ENCODERS["resnet9000"]
