"""Networks of timm in recipes: their weights, their normalisation, and runs that learn with them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from captioner.checkpoint import load_checkpoint
from captioner.config import EncoderConfig, ImageConfig
from captioner.decoding import DecodingOptions
from captioner.errors import ConfigError
from captioner.predictor import CaptionPredictor
from tests.support.networks import calibrate
from tests.support.pictures import noise_image
from training.concepts.recipe import ConceptLearningRecipe, ConceptRecipe, WordsRecipe
from training.initial.pretrained import pretrained_weights
from training.phase import PhaseRecipe
from training.recipe import Recipe, load_recipe, read_recipe
from training.runs.start import resume, start

pytestmark = pytest.mark.slow
NAME = "timm:mobilenetv3_small_050"


@pytest.fixture
def with_timm(recipe: Recipe) -> Recipe:
    """Two phases: the encoder is frozen in the first and learns in the second."""
    model = replace(recipe.model, encoder=EncoderConfig(NAME))
    phases = (
        PhaseRecipe(epochs=2, learning_rate=0.01),
        PhaseRecipe(
            epochs=1, learning_rate=0.01, encoder_stage="stride16", encoder_learning_rate=1e-3, freeze_norms=False
        ),
    )
    training = replace(recipe.training, phases=phases, precision="float32")
    return replace(recipe, encoder_weights="random", model=model, training=training)


def test_a_run_learns_is_resumed_and_leaves_a_model_that_captions(with_timm: Recipe) -> None:
    trainer = start(with_timm)
    rows = dict(trainer.overview())
    assert rows["encoder"] == f"{NAME}, 64 pixels, random weights"
    before = {key: value.clone() for key, value in trainer.task.model.encoder.pretrained_state().items()}
    trainer = resume(with_timm.run_dir)
    assert trainer.run()
    losses = [entry["loss"] for entry in trainer.progress.history]
    assert losses[1] < losses[0]
    after = trainer.task.model.encoder.pretrained_state()
    learnt = {key for key, value in after.items() if value.is_floating_point() and not torch.equal(value, before[key])}
    assert "blocks.3.0.conv_pw.weight" in learnt
    assert not any(key.startswith(("conv_stem", "blocks.0", "blocks.1")) for key in learnt)
    assert load_checkpoint(trainer.best_file).provenance["recipe"]["model"]["encoder"]["name"] == NAME
    predictor = CaptionPredictor.from_checkpoint(trainer.best_file)
    [[caption]] = predictor.captions([noise_image(1)], DecodingOptions(min_length=2))
    assert len(caption.words) >= 2


def test_concepts_leave_weights_under_timms_names(recipe: Recipe, with_timm: Recipe, tmp_path: Path) -> None:
    training = ConceptLearningRecipe(epochs=1, images_per_batch=7, encoder_stage="stride32")
    concepts = ConceptRecipe(
        "c",
        recipe.data,
        runs=recipe.runs,
        cache=str(tmp_path),
        encoder_weights="random",
        encoder=EncoderConfig(NAME),
        image=ImageConfig(64),
        words=WordsRecipe(least_photos=2),
        training=training,
    )
    trainer = start(concepts)
    assert trainer.run()
    theirs = timm.create_model(NAME.removeprefix("timm:")).state_dict()
    with safe_open(trainer.best_file, framework="pt") as file:
        kept = {key for key in file.keys() if not key.startswith("classifier.concepts.")}  # noqa: SIM118
    assert kept == {key for key in theirs if not key.startswith("classifier.")}
    captioning = start(replace(with_timm, encoder_weights=str(trainer.best_file)))
    assert captioning.task.bench.provenance["encoder"]["name"] == "c"
    ours = captioning.task.model.encoder.pretrained_state()
    assert torch.equal(
        ours["conv_head.weight"], trainer.task.average.module.encoder.pretrained_state()["conv_head.weight"]
    )


def test_weights_from_a_file_are_timms(with_timm: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network: Any = timm.create_model(NAME.removeprefix("timm:"))
    calibrate(network)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    run = start(replace(with_timm, encoder_weights=str(tmp_path / "weights.safetensors")))
    ours = run.task.model.encoder.pretrained_state()
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in ours.items())


def test_empty_weights_are_timms_own_download(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    create = timm.create_model

    def answer(name: str, **options: Any) -> Any:
        asked.append((name, options.pop("pretrained", False)))
        return create(name, **options)

    monkeypatch.setattr("timm.create_model", answer)
    found = pretrained_weights(f"{NAME}.lamb_in1k", "")
    assert asked[-1] == ("mobilenetv3_small_050.lamb_in1k", True)
    assert "conv_stem.weight" in found

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("timm.create_model", unreachable)
    with pytest.raises(
        ConfigError, match=f"timm's weights for {NAME}.lamb_in1k cannot be downloaded: no route to host"
    ):
        pretrained_weights(f"{NAME}.lamb_in1k", "")


def test_what_timm_has_no_weights_for_needs_a_file() -> None:
    with pytest.raises(
        ConfigError, match="timm has no weights for timm:mixer_s32_224; encoder_weights must name a file"
    ):
        pretrained_weights("timm:mixer_s32_224", "")


DATA = """
name = "mine"
[data]
root = "photos"
train_annotations = "captions.csv"
train_images = "."
val_annotations = "captions.csv"
val_images = "."
"""


@pytest.mark.parametrize(("kind", "prefix"), [(Recipe, "model."), (ConceptRecipe, "")])
def test_what_a_recipe_does_not_say_of_the_image_is_timms(kind: type[Any], prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(DATA)

    def image(*overrides: str) -> ImageConfig:
        found = read_recipe(kind, path, overrides)
        said: ImageConfig = (found.model if kind is Recipe else found).image
        return said

    vit, clip = (f"{prefix}encoder.name=timm:vit_{name}" for name in ("tiny_patch16_224", "base_patch16_clip_384"))
    half = (0.5, 0.5, 0.5)
    assert image(vit) == ImageConfig(224, half, half)
    assert image(vit, f"{prefix}image.size=256") == ImageConfig(256, half, half)
    assert image(vit, f"{prefix}image.mean=[0, 0, 0]") == ImageConfig(224, (0, 0, 0), half)
    assert image(clip).size == 384
    assert image(clip).mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)
    assert image() == ImageConfig()


def test_an_unknown_network_is_refused_when_the_recipe_is_read(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(DATA)
    with pytest.raises(ConfigError, match="has no network 'resnet51'; did you mean timm:resnet"):
        load_recipe(tmp_path / "r.toml", ["model.encoder.name=timm:resnet51"])
