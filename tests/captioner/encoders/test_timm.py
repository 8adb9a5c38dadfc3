"""Networks of timm as encoders: equal to timm's own, whatever their architecture."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.checkpoint import Checkpoint, load_checkpoint, read_header, save_checkpoint
from captioner.config import DecoderConfig, EncoderConfig, ImageConfig, ModelConfig
from captioner.decoding import DecodingOptions
from captioner.encoders import ENCODERS, TIMM, Encoder, build_encoder, timm_networks
from captioner.errors import ConfigError
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from captioner.tokenizers import WordTokenizer
from tests.support.networks import calibrate, draw_weights
from tests.support.pictures import noise_image

pytestmark = pytest.mark.slow
# A small network of each kind: how many pixels its cells are off the middle of their parts, and its stages.
STRIDES = ("stride2", "stride4", "stride8", "stride16", "stride32")
BLOCKS = tuple(f"blocks.{number}" for number in range(12))
NETWORKS: dict[str, tuple[int, tuple[str, ...]]] = {
    "convnext_atto": (0, STRIDES[1:]),
    "resnet18": (16, STRIDES),
    "efficientnet_b0": (16, STRIDES),
    "tf_efficientnet_lite0": (-16, STRIDES),
    "mobilenetv3_small_050": (16, STRIDES),
    "swin_tiny_patch4_window7_224": (0, STRIDES[1:]),
    "vit_tiny_patch16_224": (0, BLOCKS),
    "deit_tiny_distilled_patch16_224": (0, BLOCKS),
}
FIXED = "mixer_s32_224"  # takes one size of image alone


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=list(NETWORKS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def network(name: str) -> Any:
    """Timm's network, classifier and all, with random weights that show."""
    made: Any = timm.create_model(name)
    draw_weights(made)
    calibrate(made, made.pretrained_cfg["input_size"][1])
    return made


@pytest.fixture(scope="module")
def encoder(name: str, network: Any) -> Encoder:
    return filled(name, network)


def hollow(name: str, **options: Any) -> Encoder:
    with torch.device("meta"):
        return build_encoder(EncoderConfig(TIMM + name, **options)).eval()


def filled(name: str, network: nn.Module, **options: Any) -> Encoder:
    made = build_encoder(EncoderConfig(TIMM + name, **options)).eval()
    made.load_pretrained(network.state_dict())
    return made


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def expected(name: str, network: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cells and the vector by timm's own two steps; maps that are off centre are cut as they must be."""
    shift = NETWORKS[name][0]
    after = 0 if shift > 0 else 16
    found = network.forward_features(F.pad(pixels, (16, after, 16, after)) if shift else pixels)
    if shift:
        found = found[:, :, 1:, 1:] if shift > 0 else found[:, :, :-1, :-1]
    vector = network.forward_head(found, pre_logits=True)
    if found.ndim == 3:
        return found[:, network.num_prefix_tokens :], vector
    return (found if found.shape[3] == network.num_features else found.permute(0, 2, 3, 1)).flatten(1, 2), vector


def test_features_equal_timms_own(name: str, network: Any, encoder: Encoder) -> None:
    pixels = noise(2, 3, 224, 224)
    with torch.inference_mode():
        features = encoder(pixels)
        grid, vector = expected(name, network, pixels)
    assert features.grid is not None
    assert float(grid.std(dim=0).mean()) > 1e-3  # the pictures differ
    assert features.rows == features.cols == 224 // encoder.stride
    torch.testing.assert_close(features.grid, grid)
    torch.testing.assert_close(features.vector, vector)
    assert (encoder.grid_size, encoder.vector_size) == (grid.shape[2], vector.shape[1])


@pytest.mark.parametrize("untouched", ["convnext_atto", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"])
def test_the_classifier_says_of_the_vector_what_it_says_of_the_image(untouched: str) -> None:
    """Timm's whole forward, of networks whose cells need no moving."""
    network: Any = timm.create_model(untouched).eval()
    draw_weights(network)
    pixels = noise(2, 3, 224, 224)
    with torch.inference_mode():
        features = filled(untouched, network)(pixels)
        torch.testing.assert_close(network.get_classifier()(features.vector), network(pixels))


def test_a_network_that_this_project_has_too_is_the_same() -> None:
    network = timm.create_model("tf_efficientnet_lite0")
    draw_weights(network)
    calibrate(network)
    ours = build_encoder(EncoderConfig("efficientnet_lite0", "same")).eval()
    ours.load_pretrained(network.state_dict())
    pixels = noise(2, 3, 96, 128)
    with torch.inference_mode():
        one, other = filled("tf_efficientnet_lite0", network)(pixels), ours(pixels)
    torch.testing.assert_close(one.grid, other.grid)
    torch.testing.assert_close(one.vector, other.vector)


def test_outputs(name: str, network: Any, encoder: Encoder) -> None:
    pixels = noise(1, 3, 224, 224)
    with torch.inference_mode():
        both, grid, vector = (
            one(pixels) for one in (encoder, *(filled(name, network, outputs=o) for o in ("grid", "vector")))
        )
    torch.testing.assert_close(grid.grid, both.grid)
    torch.testing.assert_close(grid.vector, both.grid.mean(dim=1))
    torch.testing.assert_close(vector.vector, both.vector)
    assert (vector.grid, vector.rows) == (None, 0)


def test_other_sizes_of_image(name: str) -> None:
    made = hollow(name)
    size = 224 + made.stride
    features = made(torch.empty(2, 3, 224, size, device="meta"))
    assert features.vector.shape == (2, made.vector_size)
    assert features.require_grid().shape == (2, features.rows * features.cols, made.grid_size)
    assert (features.rows, features.cols) == (224 // made.stride, size // made.stride)
    with pytest.raises(ConfigError, match=f"pixels are 224 x 230; {TIMM}{name} needs multiples of {made.stride}"):
        made(torch.empty(2, 3, 224, 230, device="meta"))


def test_a_network_of_one_size_says_so() -> None:
    made = hollow(FIXED)
    assert made(torch.empty(1, 3, 224, 224, device="meta")).require_grid().shape == (1, 49, 512)
    with pytest.raises(ConfigError, match=f"pixels are 256 x 256; {TIMM}{FIXED} takes 224 x 224 alone"):
        made(torch.empty(1, 3, 256, 256, device="meta"))
    config = ModelConfig(ImageConfig(size=256), EncoderConfig(TIMM + FIXED))
    with pytest.raises(ConfigError, match=f"image size is 256; {TIMM}{FIXED} takes 224 alone"):
        CaptionModel(config, 9)


@pytest.mark.parametrize("strided", ["regnetx_002", "mobilenetv2_050", "tf_efficientnet_lite0"])
def test_cells_are_centred_on_their_part_of_the_image(strided: str) -> None:
    """The pixels that move a cell in the middle, weighed by how much they do, have their centre in its part's."""
    made = build_encoder(EncoderConfig(TIMM + strided, outputs="grid")).eval()
    for weight in made.parameters():
        if weight.ndim > 1:
            nn.init.constant_(weight, 1 / weight[0].numel())  # every layer is a mean; norms leave it nearly as it is
    pixels = torch.full((1, 3, 1024, 1024), 1e-4, requires_grad=True)  # far below the 6 where ReLU6 ends
    features = made(pixels)
    row = features.rows // 2
    features.require_grid()[0, row * features.cols + row].sum().backward()
    assert pixels.grad is not None
    moved = pixels.grad[0].sum(dim=0)
    positions = torch.arange(1024) + 0.5
    for axis in (0, 1):
        centre = float((moved.sum(dim=axis) * positions).sum() / moved.sum())
        assert centre == pytest.approx((row + 0.5) * made.stride, abs=1)


def test_stages(name: str) -> None:
    for outputs in ("both", "vector", "grid"):
        made = hollow(name, outputs=outputs)
        assert made.stages == NETWORKS[name][1]
        weights = [id(p) for modules in made.parts().values() for module in modules for p in module.parameters()]
        assert len(weights) == len(set(weights))
        assert set(weights) == {id(parameter) for parameter in made.parameters()}


def test_a_stage_and_all_above_it_learn(name: str) -> None:
    made, size = hollow(name), 224
    for first in (0, 1, len(made.stages) - 1):
        made.fine_tune(made.stages[first])
        learning = {id(p) for above in made.stages[first:] for m in made.parts()[above] for p in m.parameters()}
        assert {id(p) for p in made.parameters() if p.requires_grad} == learning
        made.zero_grad()
        features = made(torch.empty(2, 3, size, size, device="meta"))
        (features.vector.sum() + features.require_grid().sum()).backward()
        assert {id(p) for p in made.parameters() if p.grad is not None} == learning
    made.fine_tune(None)
    assert not made(torch.empty(2, 3, size, size, device="meta")).vector.requires_grad
    with pytest.raises(ConfigError, match=f"{name} has no stage 'roof'; choose one of: {made.stages[0]}, "):
        made.fine_tune("roof")


def test_a_stage_has_the_layers_that_make_its_maps() -> None:
    parts = dict(timm_networks().plan_of(f"{TIMM}efficientnet_b0").stages)
    assert parts["stride2"] == ("conv_stem", "bn1", "blocks.0")
    assert parts["stride16"] == ("blocks.3", "blocks.4")
    assert parts["stride32"][:4] == ("blocks.5", "blocks.6", "conv_head", "bn2")
    learning = hollow("vit_tiny_patch16_224")
    learning.fine_tune("blocks.1")
    frozen = {key.split(".", 2)[2] for key, value in learning.named_parameters() if not value.requires_grad}
    assert {one.partition(".")[0] for one in frozen} == {"cls_token", "pos_embed", "patch_embed", "blocks"}


def test_weights_go_by_timms_names(name: str, network: Any, encoder: Encoder) -> None:
    theirs, ours = network.state_dict(), encoder.pretrained_state()
    assert {*theirs} - {*ours} == {key for key in theirs if key.startswith(("head", "classifier", "fc."))} - {*ours}
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    with pytest.raises(ConfigError, match=rf"not pretrained weights for {TIMM}{name}: unknown: layer9\.weight$"):
        encoder.load_pretrained({**theirs, "layer9.weight": torch.zeros(1)})
    with pytest.raises(ConfigError, match=r"missing: .* and \d+ more"):
        hollow(name).load_pretrained({})


def test_a_checkpoint_is_captioned_with_as_any_other(tmp_path: Path) -> None:
    config = ModelConfig(
        ImageConfig(64), EncoderConfig(f"{TIMM}convnext_atto"), DecoderConfig(embedding_size=8, hidden_size=8)
    )
    tokenizer = WordTokenizer(["a", "dog", "runs"])
    model = CaptionModel(config, len(tokenizer)).eval()
    save_checkpoint(Checkpoint(model, tokenizer, {"name": "x"}), tmp_path / "x.safetensors")
    assert read_header(tmp_path / "x.safetensors")["config"]["encoder"]["name"] == "timm:convnext_atto"
    loaded = load_checkpoint(tmp_path / "x.safetensors").model.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in model.state_dict().items())
    predictor = CaptionPredictor.from_checkpoint(tmp_path / "x.safetensors")
    [[caption]] = predictor.captions([noise_image(1)], DecodingOptions(min_length=2))
    assert caption.attention is not None
    assert caption.attention.shape == (len(caption.words), 2, 2)


def test_what_cannot_be_is_refused() -> None:
    for unknown, message in (
        ("convnext_tini", "has no network 'convnext_tini'; did you mean timm:convnext_tiny, timm:"),
        ("convnext_tiny.x_in1k", r"did you mean timm:convnext_tiny\.\w*_in1k"),
        ("hf-hub:someone/model", r"has no network 'hf-hub:someone/model'"),
        ("zzzzzzzz", r"has no network 'zzzzzzzz'; timm.list_models\(\) has all"),
        ("inception_v3", "encoder timm:inception_v3 makes no grid of equal cells, which captions need: it gives"),
    ):
        with pytest.raises(ConfigError, match=message):
            hollow(unknown)
    with pytest.raises(ConfigError, match="encoder timm:resnet18 pads as timm says; leave padding at 'symmetric'"):
        hollow("resnet18", padding="same")
    with pytest.raises(ConfigError, match="encoder branches is 2; timm:resnet18 knows 1 alone"):
        hollow("resnet18", branches=2)


def test_without_timm_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in [key for key in sys.modules if key.startswith(("captioner.encoders.timm", "timm."))]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"need timm, which is not installed; pip install 'captioner\[timm\]'"):
        build_encoder(EncoderConfig("timm:resnet18"))
    assert build_encoder(EncoderConfig("tiny"))


def test_what_a_network_was_made_for_is_read_from_timm() -> None:
    own = timm_networks().own_image
    assert own("timm:vit_tiny_patch16_224") == {"size": 224, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    assert own("timm:efficientnet_b1")["size"] == 256  # 240 is no multiple of 32
    assert own("timm:vit_small_patch14_dinov2")["size"] == 518
    tagged = own("timm:convnext_tiny.dinov3_lvd1689m")
    assert tagged == {"size": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def test_the_list_of_encoders_tells_of_timm() -> None:
    with pytest.raises(ConfigError, match=r"choose one of: .*; or timm:NAME, any network of timm by its name there"):
        ENCODERS["resnet9000"]


def test_nothing_is_downloaded_by_building(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a constructor wants the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert build_encoder(replace(EncoderConfig(), name="timm:convnext_atto.d2_in1k"))
