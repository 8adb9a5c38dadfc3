"""Encoders side by side: what each of them sees, in its own channels."""

from pathlib import Path

import pytest
import torch

from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from captioner.config import DecoderConfig, EncoderConfig, ImageConfig, ModelConfig
from captioner.encoders import ENCODERS, BranchedEncoder, Encoder, build_encoder, first_difference
from captioner.errors import ConfigError
from captioner.model import CaptionModel
from captioner.tokenizers import WordTokenizer
from tests.support.networks import calibrate

pytestmark = pytest.mark.slow
SIDE = 64
SMALL = ("tiny", "mobilenet_v2", "resnet50")  # without a norm or a head; centred; with stages of other names


def trained(name: str, seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    encoder = ENCODERS[name](EncoderConfig(name)).eval()
    calibrate(encoder, SIDE)
    return encoder


def siblings(name: str, stage: str) -> list[Encoder]:
    """Two encoders that are equal before a stage and differ from there on."""
    one, two, other = trained(name), trained(name), trained(name, seed=1)
    two.load_state_dict(one.state_dict())
    stages = one.stages
    for late in stages[stages.index(stage) :]:
        for layer, source in zip(two.parts()[late], other.parts()[late], strict=True):
            layer.load_state_dict(source.state_dict())
    return [one, two]


def pixels() -> torch.Tensor:
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("position", [0, 1, -1])
@torch.inference_mode()
def test_each_branch_sees_what_it_sees_alone(name: str, position: int) -> None:
    stage = trained(name).stages[position]
    apart = siblings(name, stage)
    alone = [encoder(pixels()) for encoder in apart]
    assert first_difference(apart) == stage
    config = EncoderConfig(name, branches=2, branch_stage=stage)
    together = BranchedEncoder(config, apart).eval()
    seen = together(pixels())
    assert (seen.rows, seen.cols) == (alone[0].rows, alone[0].cols)
    for index, one in enumerate(alone):
        part = seen.part(index, 2)
        torch.testing.assert_close(part.vector, one.vector)
        torch.testing.assert_close(part.require_grid(), one.require_grid())
    assert seen.vector.shape[1] == together.vector_size
    assert seen.require_grid().shape[2] == together.grid_size


def test_it_knows_whose_code_it_is() -> None:
    kinds = build_encoder(EncoderConfig("mobilenet_v2", branches=2)).kinds
    assert {kind.__name__ for kind in kinds} == {"BranchedEncoder", "MobileNetV2", "CentredEncoder", "Encoder"}


def test_equal_encoders_do_not_differ() -> None:
    assert first_difference([trained("tiny"), trained("tiny")]) is None


def test_shared_stages_are_there_once() -> None:
    alone = build_encoder(EncoderConfig("mobilenet_v2"))
    stages = {
        name: sum(p.numel() for layer in layers for p in layer.parameters()) for name, layers in alone.parts().items()
    }
    branched = build_encoder(EncoderConfig("mobilenet_v2", branches=3, branch_stage="stride16"))
    own = stages["stride16"] + stages["stride32"]
    assert sum(p.numel() for p in branched.parameters()) == sum(stages.values()) + 2 * own


@pytest.mark.parametrize("name", list(ENCODERS))
def test_every_weight_belongs_to_one_stage(name: str) -> None:
    with torch.device("meta"):
        encoder = build_encoder(EncoderConfig(name, branches=2, branch_stage=list(dict(ENCODERS[name].starts))[1]))  # type: ignore[attr-defined]
    listed = [id(p) for layers in encoder.parts().values() for layer in layers for p in layer.parameters()]
    assert sorted(listed) == sorted(id(p) for p in encoder.parameters())


def test_stages_learn_in_all_branches() -> None:
    encoder = build_encoder(EncoderConfig("tiny", branches=2, branch_stage="stride8"))
    encoder.train()
    encoder.fine_tune("stride16")
    learning = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    expected = {f"tails.{branch}.5.{kind}" for branch in (0, 1) for kind in ("weight", "bias")}  # layer 5 of both
    assert learning == expected


def test_a_file_holds_all_branches(tmp_path: Path) -> None:
    config = ModelConfig(
        ImageConfig(SIDE),
        EncoderConfig("tiny", branches=2, branch_stage="stride8"),
        DecoderConfig(embedding_size=4, hidden_size=6, attention_size=3, members=3, reads=(0, 1, 1)),
    )
    tokenizer = WordTokenizer(["a", "dog"])
    model = CaptionModel(config, len(tokenizer)).eval()
    save_checkpoint(Checkpoint(model, tokenizer), tmp_path / "model.safetensors")
    loaded = load_checkpoint(tmp_path / "model.safetensors").model
    assert loaded.config == config
    with torch.inference_mode():
        torch.testing.assert_close(loaded(pixels()).require_grid(), model(pixels()).require_grid())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="tiny has no stage 'stride3' to branch at; choose one of: stride4"):
        build_encoder(EncoderConfig("tiny", branches=2, branch_stage="stride3"))
    with pytest.raises(ConfigError, match="branches is 0; it must be between 1 and 8"):
        EncoderConfig("tiny", branches=0)
    with pytest.raises(ConfigError, match="branch_stage is 'stride8'; it needs at least 2 branches"):
        EncoderConfig("tiny", branch_stage="stride8")
    with pytest.raises(ConfigError, match="branches are trained one by one and then joined"):
        build_encoder(EncoderConfig("tiny", branches=2)).load_pretrained({})
    with pytest.raises(ConfigError, match="reads names 1 branches; it must name one per member, 2"):
        DecoderConfig(members=2, reads=(0,))
    two = EncoderConfig("tiny", branches=2)
    for reads in ((), (0, 0), (0, 2)):
        with pytest.raises(ConfigError, match="with 2 branches of the encoder it must name each of them, from 0 to 1"):
            CaptionModel(ModelConfig(ImageConfig(SIDE), two, DecoderConfig(members=2, reads=reads)), 5)
    with pytest.raises(ConfigError, match="the encoder has one branch, which is 0"):
        CaptionModel(ModelConfig(ImageConfig(SIDE), EncoderConfig("tiny"), DecoderConfig(members=2, reads=(0, 1))), 5)
