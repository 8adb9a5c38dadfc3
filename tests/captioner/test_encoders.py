"""What every encoder promises, for every registered name."""

import pytest
import torch
import torchvision

from captioner.encoders import ENCODERS, Encoder
from captioner.errors import ConfigError


@pytest.fixture(params=list(ENCODERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def build(name: str) -> Encoder:
    torch.manual_seed(0)
    return ENCODERS[name]().eval()


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


def test_mobilenet_v2_equals_torchvision() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.mobilenet_v2(weights=None).eval()
    ours = ENCODERS["mobilenet_v2"]().eval()
    ours.load_pretrained(theirs.state_dict())
    pixels = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        features, maps = ours(pixels), theirs.features(pixels)
        torch.testing.assert_close(features.grid.transpose(1, 2).unflatten(2, (3, 3)), maps)
        torch.testing.assert_close(theirs.classifier(features.vector), theirs(pixels))


def test_foreign_weights_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"not torchvision's weights for {name}"):
        build(name).load_pretrained({"layer1.weight": torch.zeros(1)})


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"unknown encoder 'resnet9000'; choose one of: .*mobilenet_v2"):
        ENCODERS["resnet9000"]
