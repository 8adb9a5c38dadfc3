"""Recipes: strict, overridable, and the shipped ones whole."""

from pathlib import Path
from typing import Any

import pytest
import torch

from captioner.config import to_dict
from captioner.encoders import build_encoder
from captioner.errors import ConfigError, OptionError
from captioner.model import CaptionModel
from captioner.tokenizers import TOKENIZERS
from training.answers.recipe import AnswerRecipe
from training.concepts.recipe import ConceptRecipe
from training.language.recipe import LanguageRecipe
from training.recipe import Recipe, TokenizerRecipe, load_recipe, read_recipe
from training.stages.plan import plan
from training.stages.recipe import StagesRecipe

FOLDER = Path(__file__).parents[2] / "training" / "recipes"
SHIPPED: dict[str, type[Any]] = {
    "austen": LanguageRecipe,
    "classic": Recipe,
    "coco": Recipe,
    "coco-all": StagesRecipe,
    "coco-concepts": ConceptRecipe,
    "flickr8k": Recipe,
    "flickr8k-all": StagesRecipe,
    "flickr8k-answers": AnswerRecipe,
    "flickr8k-classes-all": StagesRecipe,
    "flickr8k-concepts": ConceptRecipe,
    "flickr8k-critical": Recipe,
    "flickr8k-together": Recipe,
    "show-attend-tell": Recipe,
}


GROWN = ("flickr8k-critical", "flickr8k-together")  # which start from a checkpoint, whose model is theirs


@pytest.fixture
def recipe_file() -> Path:
    return FOLDER / "flickr8k.toml"


@pytest.mark.parametrize("name", [path.stem for path in sorted(FOLDER.glob("*.toml"))])
def test_shipped_recipes_load(name: str) -> None:
    recipe = read_recipe(SHIPPED[name], FOLDER / f"{name}.toml", ["start_from="] if name in GROWN else [])
    assert recipe.run_dir == Path("runs") / name


@pytest.mark.parametrize("name", [name for name, kind in SHIPPED.items() if kind is Recipe and name not in GROWN])
def test_shipped_recipes_build(name: str) -> None:
    """The model, and the stages that learn in its phases, but no weights."""
    recipe = read_recipe(Recipe, FOLDER / f"{name}.toml")
    with torch.device("meta"):
        model = CaptionModel(recipe.model, 100)
    for phase in recipe.training.phases:
        model.encoder.fine_tune(phase.encoder_stage or None)
    size = recipe.model.image.size
    features = model(torch.empty(2, 3, size, size, device="meta"))
    assert (features.grid is not None) == (recipe.model.encoder.outputs != "vector")
    assert (recipe.decoding.beam_size, recipe.decoding.max_length) == (5, 20)


@pytest.mark.parametrize("name", [name for name, kind in SHIPPED.items() if kind is ConceptRecipe])
def test_encoders_of_shipped_recipes_build(name: str) -> None:
    recipe = read_recipe(ConceptRecipe, FOLDER / f"{name}.toml")
    with torch.device("meta"):
        encoder = build_encoder(recipe.encoder)
    encoder.fine_tune(recipe.training.encoder_stage)
    captions: Recipe = read_recipe(Recipe, FOLDER / f"{name.removesuffix('-concepts')}.toml")
    assert captions.model.encoder.name == recipe.encoder.name
    assert captions.model.encoder.padding == recipe.encoder.padding
    assert captions.encoder_weights == f"{recipe.run_dir}/best.safetensors"


@pytest.mark.parametrize("name", [name for name, kind in SHIPPED.items() if kind is StagesRecipe])
def test_stages_of_shipped_recipes_are_ready(name: str) -> None:
    stages = plan(FOLDER / f"{name}.toml", ["data.root=there"])
    commands = [stage.recipe.command for stage in stages]
    assert (commands[:2], commands[-2:]) == (["fit-concepts", "fit"], ["export", "calibrate"])
    recipes = [stage.read(with_start=False) for stage in stages if stage.file]
    assert {recipe.data.root for recipe in recipes} == {"there"}
    assert stages[1].read().encoder_weights == str(stages[0].made)


def test_the_shipped_model_is_the_mean_of_three_runs_that_began_alike() -> None:
    stages = {stage.recipe.name: stage for stage in plan(FOLDER / "flickr8k-all.toml")}
    runs = [stages[name] for name in stages["mean"].recipe.of]
    assert {stage.starts for stage in runs} == {('start_from="runs/flickr8k-together/best.safetensors"',)}
    phases = [stage.read(with_start=False).training.phases[0] for stage in runs]
    assert len({(phase.learning_rate, phase.bleu) for phase in phases}) == len(runs) == 3
    assert stages["mean"].folder == Path("runs/flickr8k-all")


def test_classic_and_show_attend_tell_are_the_papers() -> None:
    classic, attending = (load_recipe(FOLDER / f"{name}.toml") for name in ("classic", "show-attend-tell"))
    with torch.device("meta"):
        seen = [CaptionModel(one.model, 9)(torch.empty(1, 3, 224, 224, device="meta")) for one in (classic, attending)]
    assert seen[0].vector.shape == (1, 4096)
    assert (seen[1].rows, seen[1].cols) == (14, 14)
    assert seen[1].require_grid().shape == (1, 196, 512)
    assert classic.training.phases[1].encoder_stage == "block4"
    assert (classic.model.decoder.name, classic.model.decoder.condition) == ("conditioned", "every_step")
    assert (attending.model.decoder.name, attending.model.decoder.condition) == ("soft_attention", "initial_state")
    assert attending.training.phases[0].attention_penalty == 1


def test_overrides_replace_values(recipe_file: Path) -> None:
    overrides = [
        "training.phases[0].epochs=3",
        "data.root=some/folder",
        'name="other"',
        "data.mirror=false",
        "seed = 9",
    ]
    recipe = load_recipe(recipe_file, overrides)
    assert recipe.training.phases[0].epochs == 3
    assert recipe.data.root == "some/folder"
    assert recipe.data.path("train_images") == Path("some/folder/train")
    assert recipe.name == "other"
    assert recipe.data.mirror is False
    assert recipe.seed == 9
    assert to_dict(recipe)["model"] == to_dict(load_recipe(recipe_file))["model"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "training.epoch: there is no such key; there are weight_decay, clip_norm, .*phases"),
        ("training.phases[0].epochs=many", "training.phases.0.epochs: Input should be a valid integer"),
        ("training.phases[0].epochs=0", "phase epochs is 0; it must be between 1 and"),
        ("training.precision=float8", "training.precision: Input should be 'auto', 'float32' or 'bfloat16'"),
        ("tokenizer.name=bytes", "unknown tokenizer 'bytes'; choose one of: character, word"),
        ("tokenizer.min_count=0", "tokenizer.min_count is 0; it must be at least 1"),
        ("tokenizer.max_size=-1", "tokenizer.max_size is -1; it must be at least 0"),
        ("tokenizer.size=9", "tokenizer.size: there is no such key; did you mean max_size"),
        ("data.max_tokens=0", "data.max_tokens is 0; it must be at least 1"),
        ("data.augmented=-1", "data.augmented is -1; it must be at least 0"),
        ("data.min_count=5", "data.min_count: there is no such key; "),
        ("model.decoder.dropout=1.0", "dropout is 1.0; it must be at least 0 and below 1"),
        ("name.first=x", "name is a value, not a table"),
        ("training.average", "write it as key.sub=value"),
    ],
)
def test_bad_overrides_are_refused(recipe_file: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe_file, [override])


@pytest.mark.parametrize("name", list(TOKENIZERS))
def test_every_tokenizer_can_be_asked_for(recipe_file: Path, name: str) -> None:
    recipe = load_recipe(recipe_file, [f"tokenizer.name={name}", "tokenizer.max_size=100"])
    assert recipe.tokenizer == TokenizerRecipe(name=name, min_count=5, max_size=100)
    assert to_dict(recipe)["tokenizer"] == {"name": name, "min_count": 5, "max_size": 100}


def test_bad_decoding_options_are_refused(recipe_file: Path) -> None:
    with pytest.raises(OptionError, match="beam_size is 0"):
        load_recipe(recipe_file, ["decoding.beam_size=0"])


def test_unreadable_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a readable recipe"):
        load_recipe(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(ConfigError, match="not a readable recipe"):
        load_recipe(broken)
    broken.write_text('name = "x"')
    with pytest.raises(ConfigError, match="data: Field required"):
        load_recipe(broken)
    assert Recipe.__doc__
