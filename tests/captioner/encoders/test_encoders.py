"""What every encoder promises, for every registered name."""

import socket
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pytest
import timm
import torch
import torchvision
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.convnext import CNBlock
from torchvision.ops import Permute, SqueezeExcitation, StochasticDepth

from captioner.checkpoint import SHIPPED, read_header
from captioner.config import EncoderConfig, ModelConfig, from_dict
from captioner.encoders import ENCODERS, Encoder, build_encoder
from captioner.encoders.base import SAME_PADDED
from captioner.encoders.centred import CentredEncoder
from captioner.errors import ConfigError
from tests.support.networks import calibrate, draw_weights

pytestmark = pytest.mark.slow
Padding = Literal["symmetric", "same"]
Outputs = Literal["both", "vector", "grid"]
# Torchvision's layer that makes the grid, and its layer that reads the vector.
TORCHVISION = {
    "convnext_tiny": ("features", "classifier.2"),
    "efficientnet_b0": ("features", "classifier"),
    "mobilenet_v2": ("features", "classifier"),
    "mobilenet_v3_large": ("features", "classifier"),
    "resnet50": ("layer4", "fc"),
    "resnet101": ("layer4", "fc"),
    "vgg16": ("features.29", "classifier.6"),
}
TIMM = {"efficientnet_lite0": ("bn2", "classifier"), "efficientnet_lite2": ("bn2", "classifier")}
PADDINGS = [(name, padding) for name in ENCODERS for padding in ("symmetric", "same")[: 1 + (name in SAME_PADDED)]]
POINTWISE = (nn.BatchNorm2d, nn.LayerNorm, nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU, nn.Dropout)


def hollow(name: str, padding: Padding = "symmetric", outputs: Outputs = "both") -> Encoder:
    """An encoder that knows its shapes but has no weights, and takes no time to build."""
    with torch.device("meta"):
        return ENCODERS[name](EncoderConfig(name, padding, outputs)).eval()


def filled(name: str, weights: Mapping[str, Tensor], outputs: Outputs = "both") -> Encoder:
    encoder = hollow(name, outputs=outputs).to_empty(device="cpu")
    encoder.load_pretrained(weights)
    return encoder


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Maps of a few pixels leave more threads nothing to do but to wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=list(ENCODERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def network(name: str) -> nn.Module:
    """Torchvision's or timm's network of that name, or ours where both have none; all layers with weights that show."""
    with torch.device("meta"):
        network: nn.Module = theirs(name) if name in {**TORCHVISION, **TIMM} else hollow(name)
    network = network.to_empty(device="cpu")
    draw_weights(network)
    calibrate(network)
    return network


def theirs(name: str) -> nn.Module:
    if name in TIMM:
        return timm.create_model(name, bn_eps=1e-3)  # that of TensorFlow, as of its pretrained weights
    network: nn.Module = torchvision.models.get_model(name)
    return network


@pytest.fixture(scope="module")
def encoder(name: str, network: nn.Module) -> Encoder:
    """An encoder that tests share and do not change."""
    return filled(name, network.state_dict())


@pytest.mark.parametrize("outputs", ["both", "vector", "grid"])
def test_shapes(name: str, outputs: Outputs) -> None:
    encoder = hollow(name, outputs=outputs)
    features = encoder(torch.empty(2, 3, 64, 96, device="meta"))
    assert features.vector.shape == (2, encoder.vector_size)
    if outputs == "vector":
        assert (features.grid, features.rows, features.cols, encoder.grid_size) == (None, 0, 0, None)
    else:
        assert (features.rows, features.cols) == (64 // encoder.stride, 96 // encoder.stride)
        assert features.grid is not None
        assert features.grid.shape == (2, features.rows * features.cols, encoder.grid_size)


def test_every_encoder_has_something_to_equal() -> None:
    assert {*TORCHVISION, *TIMM, "tiny"} == {*ENCODERS}


@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (2, 3)])
def test_features_equal_those_of_torchvision_and_timm(
    encoder: Encoder, network: nn.Module, rows: int, cols: int
) -> None:
    pixels = noise(2, 3, 32 * rows, 32 * cols)
    with torch.inference_mode():
        features = encoder(pixels)
        grid, vector = reference(encoder, network, pixels)
    assert features.grid is not None
    assert float(grid.std(dim=0).mean()) > 1e-3  # the pictures differ
    torch.testing.assert_close(features.grid, grid.flatten(2).transpose(1, 2))
    torch.testing.assert_close(features.vector, vector)


def reference(encoder: Encoder, network: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps and the vector as torchvision or timm computes them, or as tiny's equation says."""
    if encoder.config.name == "tiny":
        return tiny(network.state_dict(), pixels)
    made: dict[str, Tensor] = {}
    grid_layer, vector_reader = {**TORCHVISION, **TIMM}[encoder.config.name]
    hooks = [
        network.get_submodule(grid_layer).register_forward_hook(lambda *seen: made.update(grid=seen[2].clone())),
        network.get_submodule(vector_reader).register_forward_pre_hook(
            lambda *seen: made.update(vector=seen[1][0].clone())
        ),
    ]
    centred = isinstance(encoder, CentredEncoder)
    network(F.pad(pixels, (16, 0, 16, 0)) if centred else pixels)
    for hook in hooks:
        hook.remove()
    if centred:
        maps = made["grid"][:, :, 1:, 1:]
        return maps, maps.mean(dim=(2, 3))
    return made["grid"], made["vector"]


def tiny(weights: Mapping[str, Tensor], pixels: Tensor) -> tuple[Tensor, Tensor]:
    (w0, b0), (w1, b1), (w2, b2) = ([weights[f"trunk.{i}.{kind}"] for kind in ("weight", "bias")] for i in (0, 2, 5))
    maps = F.relu(F.conv2d(pixels, w0, b0, stride=4))
    maps = F.max_pool2d(F.relu(F.conv2d(maps, w1, b1, padding=1)), 2)
    maps = F.max_pool2d(F.relu(F.conv2d(maps, w2, b2, padding=1)), 2)
    return maps, maps.mean(dim=(2, 3))


def test_an_output_does_not_depend_on_which_others_are_made(name: str, network: nn.Module, encoder: Encoder) -> None:
    weights = network.state_dict()
    pixels = noise(1, 3, 64, 64)
    with torch.inference_mode():
        both, grid = encoder(pixels), filled(name, weights, "grid")(pixels)
        torch.testing.assert_close(grid.grid, both.grid)
        torch.testing.assert_close(grid.vector, both.grid.mean(dim=1))
        vector = hollow(name, outputs="vector")
        vector.load_state_dict(encoder.state_dict(), assign=True)
        torch.testing.assert_close(vector(pixels).vector, both.vector)


def test_an_image_does_not_depend_on_its_batch(encoder: Encoder) -> None:
    pixels = noise(3, 3, 64, 64)
    with torch.inference_mode():  # deep random networks magnify what another order of sums changes
        alone, together = encoder(pixels[1:2]), encoder(pixels)
    torch.testing.assert_close(alone.grid[0], together.grid[1], rtol=0.02, atol=0.02)
    torch.testing.assert_close(alone.vector[0], together.vector[1], rtol=0.02, atol=0.02)


def averaged(name: str, padding: Padding) -> Encoder:
    """An encoder whose every layer is a mean over what it sees; it is linear, and all its weights are above zero."""
    encoder = hollow(name, padding, "grid").to_empty(device="cpu")
    for parent in list(encoder.modules()):
        for key, child in parent.named_children():
            if isinstance(child, (*POINTWISE, SqueezeExcitation, StochasticDepth)):
                setattr(parent, key, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                setattr(parent, key, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    leaves = [module for module in encoder.modules() if not list(module.children())]
    assert {type(leaf) for leaf in leaves} <= {nn.Conv2d, nn.Linear, nn.Identity, nn.AvgPool2d, Permute}
    for parameter_name, weight in encoder.named_parameters():
        scale = 0 if parameter_name.endswith("bias") else 1 / weight[0].numel()
        nn.init.constant_(weight, 1 if parameter_name.endswith("layer_scale") else scale)
    return encoder


def test_locations_are_row_by_row_from_the_top_left(name: str) -> None:
    encoder = averaged(name, "symmetric")
    pixels = torch.zeros(2, 3, 128, 192)
    pixels[0, :, -encoder.stride :, : encoder.stride] = 1  # what the bottom left cell stands for
    pixels[1] = 1
    with torch.inference_mode():
        features = encoder(pixels)
    assert features.grid is not None
    corner, whole = features.grid[:, :, 0]
    assert int((corner / whole).argmax()) == (features.rows - 1) * features.cols


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize(("encoder_name", "padding"), PADDINGS)
def test_cells_are_centred_on_their_part_of_the_image(encoder_name: str, padding: Padding, axis: int) -> None:
    """A linear cell's answer to positions, divided by its answer to ones, is the centre of the pixels it weighs."""
    encoder = averaged(encoder_name, padding)
    side, length = encoder.stride, 1024
    positions = torch.arange(length) + 0.5
    line = torch.stack([torch.ones(length), positions])[:, None, None].expand(2, 3, side, length)
    with torch.inference_mode():
        features = encoder(line if axis == 3 else line.transpose(2, 3))
    assert features.grid is not None
    ones, weighed = features.grid[:, :, 0]
    cells = torch.arange(len(ones))
    middle = slice(len(ones) * 3 // 8, len(ones) * 5 // 8)  # whose receptive field ends before the image does
    expected = (cells + 0.5) * encoder.stride
    torch.testing.assert_close((weighed / ones)[middle], expected[middle], rtol=0, atol=1)


@pytest.mark.parametrize("same_name", SAME_PADDED)
def test_same_padding_pads_as_tensorflow_does(same_name: str) -> None:
    """Against a convolution of the padding's definition: all that is missing, half of it rounded down before."""
    encoder = ENCODERS[same_name](EncoderConfig(same_name, "same")).eval()
    halving = [layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)]
    assert len(halving) == 5
    for layer in halving:
        kernel = layer.kernel_size[0]
        maps = noise(1, layer.in_channels, 16, 16)
        missing = (16 // 2 - 1) * 2 + kernel - 16
        before, after = missing // 2, missing - missing // 2
        padded = F.pad(maps, (before, after, before, after))
        expected = F.conv2d(padded, layer.weight, layer.bias, stride=2, groups=layer.groups)
        torch.testing.assert_close(layer(maps), expected)


@pytest.mark.parametrize("lite_name", TIMM)
def test_lite_networks_from_tensorflow_equal_those_of_timm(lite_name: str) -> None:
    network: Any = timm.create_model(f"tf_{lite_name}")
    draw_weights(network)
    calibrate(network)
    encoder = ENCODERS[lite_name](EncoderConfig(lite_name, "same")).eval()
    encoder.load_pretrained(network.state_dict())
    pixels = noise(2, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.trunk(pixels), network.forward_features(pixels), rtol=0, atol=0)


def test_others_refuse_same_padding(name: str) -> None:
    if name in SAME_PADDED:
        assert isinstance(hollow(name, "same"), CentredEncoder)
    else:
        with pytest.raises(ConfigError, match=f"{name} knows padding 'symmetric' alone; efficientnet_b0, .* 'same'"):
            hollow(name, "same")


def test_sizes_that_are_no_multiple_of_the_stride_are_refused(name: str) -> None:
    encoder = hollow(name)
    with pytest.raises(ConfigError, match=f"pixels are 64 x 72; {name} needs multiples of {encoder.stride}"):
        encoder(torch.empty(1, 3, 64, 72, device="meta"))


def test_building_downloads_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a constructor wants the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    fresh = ENCODERS[name](EncoderConfig(name, outputs="grid"))
    with torch.inference_mode():
        grid = fresh(noise(2, 3, 64, 64)).grid  # in training mode, as fresh norms know no statistics
    assert bool(grid.isfinite().all())
    assert float((grid[0] - grid[1]).abs().max()) > 1e-3


def test_a_fresh_encoder_is_an_ordinary_module(name: str) -> None:
    encoder = hollow(name).train()
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert all(module.training for module in encoder.modules())


def test_every_weight_belongs_to_exactly_one_stage(name: str) -> None:
    for outputs in ("both", "vector", "grid"):
        encoder = hollow(name, outputs=outputs)
        found = [id(p) for modules in encoder.parts().values() for module in modules for p in module.parameters()]
        assert len(found) == len(set(found))
        assert set(found) == {id(parameter) for parameter in encoder.parameters()}
        assert all(any(True for m in modules for _ in m.parameters()) for modules in encoder.parts().values())


def test_stages_run_in_order(name: str) -> None:
    encoder, seen = hollow(name), list[str]()
    for stage, modules in encoder.parts().items():
        for module in modules:
            module.register_forward_hook(lambda *_, stage=stage: seen.append(stage))
    encoder(torch.empty(1, 3, 64, 64, device="meta"))
    assert list(dict.fromkeys(seen)) == list(encoder.stages)
    assert seen == sorted(seen, key=encoder.stages.index)


@pytest.mark.parametrize("strided_name", [*SAME_PADDED, "tiny"])
def test_stages_named_by_their_stride_have_it(strided_name: str) -> None:
    """So that the stage after each begins with the layer that halves the maps."""
    encoder, sides = hollow(strided_name), dict[str, int]()
    for stage, modules in encoder.parts().items():
        modules[-1].register_forward_hook(lambda *seen, stage=stage: sides.update({stage: seen[2].shape[3]}))
    encoder.trunk(torch.empty(1, 3, 64, 256, device="meta"))
    assert sides == {stage: 256 // int(stage.removeprefix("stride")) for stage in encoder.stages}


@pytest.mark.parametrize(
    ("staged_name", "kind", "papers"),
    [("vgg16", nn.Conv2d, [2, 2, 3, 3, 3, 0]), ("convnext_tiny", CNBlock, [0, 3, 3, 9, 3])],
)
def test_stages_have_the_layers_of_the_paper(staged_name: str, kind: type[nn.Module], papers: list[int]) -> None:
    parts = hollow(staged_name).parts().values()
    assert [sum(isinstance(layer, kind) for m in modules for layer in m.modules()) for modules in parts] == papers


def test_a_stage_and_all_above_it_learn(name: str) -> None:
    encoder = hollow(name)
    for first, stage in enumerate(encoder.stages):
        encoder.fine_tune(stage)
        learning = {id(p) for above in encoder.stages[first:] for m in encoder.parts()[above] for p in m.parameters()}
        assert {id(p) for p in encoder.parameters() if p.requires_grad} == learning
        if first % 2 == 0:  # the others would only take time
            encoder.zero_grad()
            features = encoder(torch.empty(2, 3, 64, 64, device="meta"))
            (features.vector.sum() + features.grid.sum()).backward()
            assert {id(p) for p in encoder.parameters() if p.grad is not None} == learning
    encoder.fine_tune(None)
    assert not encoder(torch.empty(2, 3, 64, 64, device="meta")).vector.requires_grad


def test_stages_of_resnet50_are_its_layers() -> None:
    encoder = hollow("resnet50")
    encoder.fine_tune("layer3")
    assert {n.split(".")[1] for n, p in encoder.named_parameters() if p.requires_grad} == {"layer3", "layer4"}


@pytest.mark.parametrize("freeze_norms", [True, False])
def test_norms_change_only_where_they_learn(name: str, network: nn.Module, freeze_norms: bool) -> None:
    encoder = filled(name, network.state_dict(), "grid")
    stage = encoder.stages[2]
    encoder.fine_tune(stage, freeze_norms)
    encoder.train()
    learning = [module for above in encoder.stages[2:] for module in encoder.parts()[above]]
    inside = [layer for module in learning for layer in module.modules()]
    assert not any(
        layer.training for below in encoder.stages[:2] for m in encoder.parts()[below] for layer in m.modules()
    )
    assert all(layer.training or isinstance(layer, nn.BatchNorm2d) for layer in inside)
    before = {key: value.clone() for key, value in encoder.named_buffers()}
    with torch.no_grad():
        encoder(2 + 3 * noise(2, 3, 64, 64))
    changed = {key for key, value in encoder.named_buffers() if not torch.equal(value, before[key])}
    kept = {id(value) for layer in inside for value in layer.buffers(recurse=False)}
    unfrozen = {key for key, value in encoder.named_buffers() if id(value) in kept}
    assert changed == (set() if freeze_norms else unfrozen)


def test_what_is_frozen_can_learn_again(name: str) -> None:
    encoder = hollow(name)
    encoder.fine_tune(None)
    assert not any(module.training for modules in encoder.train().parts().values() for module in modules)
    encoder.fine_tune(encoder.stages[0], freeze_norms=False)
    assert all(module.training for module in encoder.modules())
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_an_unknown_stage_lists_the_stages(name: str) -> None:
    encoder = hollow(name)
    with pytest.raises(ConfigError, match=f"{name} has no stage 'roof'; choose one of: {', '.join(encoder.stages)}"):
        encoder.fine_tune("roof")


def test_weights_that_do_not_fit_are_named(name: str, network: nn.Module) -> None:
    weights = dict(network.state_dict())
    names = [key for key in weights if key.endswith("weight") and not key.startswith(("classifier.", "fc."))]
    for encoder in (hollow(name), hollow(name, outputs="grid")):
        with pytest.raises(ConfigError, match=f"not pretrained weights for {name}: missing: {names[1]}$"):
            encoder.load_pretrained({key: value for key, value in weights.items() if key != names[1]})
        with pytest.raises(ConfigError, match=rf"another shape: {names[0]} \[1, 2\] \(must be \[\d+, 3, \d, \d\]\)$"):
            encoder.load_pretrained({**weights, names[0]: torch.zeros(1, 2)})
        with pytest.raises(ConfigError, match=r"unknown: layer9\.weight$"):
            encoder.load_pretrained({**weights, "layer9.weight": torch.zeros(1)})
    with pytest.raises(ConfigError, match=r"missing: .* and \d+ more"):
        hollow(name).load_pretrained({})


def test_counters_of_norms_may_be_missing(name: str, network: nn.Module, encoder: Encoder) -> None:
    counter = "num_batches_tracked"
    old = {key: value for key, value in network.state_dict().items() if not key.endswith(counter)}
    whole, loaded = encoder.state_dict(), filled(name, old, "grid").state_dict()
    assert all(torch.equal(loaded[key], whole[key]) for key in loaded if not key.endswith(counter))


def test_a_larger_network_is_no_smaller_one() -> None:
    with torch.device("meta"):
        weights = torchvision.models.resnet101().state_dict()
    with pytest.raises(ConfigError, match=r"resnet50: unknown: layer3\.6\.conv1\.weight, .* and 301 more"):
        hollow("resnet50").load_pretrained(weights)


def test_the_shipped_encoder_fits() -> None:
    prefix = "encoder."
    with safe_open(SHIPPED, framework="pt") as file:
        weights = {key.removeprefix(prefix): file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118
    encoder = build_encoder(from_dict(ModelConfig, read_header(SHIPPED)["config"], "shipped").encoder)
    encoder.load_state_dict(weights)
    assert all(torch.equal(value.to(weights[key].dtype), weights[key]) for key, value in encoder.state_dict().items())


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"unknown encoder 'resnet9000'; choose one of: .*mobilenet_v2"):
        ENCODERS["resnet9000"]
