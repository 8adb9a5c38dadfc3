"""What whoever writes a recipe is told: names, keys, kinds, defaults, and what goes on from a checkpoint."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from captioner.checkpoint import SHIPPED, Checkpoint, read_header, save_checkpoint
from captioner.config import DecoderConfig, ModelConfig, from_dict, to_dict
from captioner.errors import ConfigError
from captioner.model import CaptionModel
from captioner.tokenizers import CharacterTokenizer
from training.__main__ import main
from training.answers.recipe import AnswerRecipe
from training.concepts.recipe import ConceptRecipe
from training.language.recipe import LanguageRecipe
from training.recipe import Recipe, load_recipe, read_recipe
from training.runs.folder import RunFolder
from training.stages.recipe import StagesRecipe

FOLDER = Path(__file__).parents[2] / "training" / "recipes"
KINDS: dict[str, tuple[type[Any], str]] = {
    "austen": (LanguageRecipe, "fit-text"),
    "flickr8k-answers": (AnswerRecipe, "fit-answers"),
    "flickr8k": (Recipe, "fit"),
    "flickr8k-concepts": (ConceptRecipe, "fit-concepts"),
    "flickr8k-all": (StagesRecipe, "all"),
}
DATA = """
name = "mine"
[data]
root = "photos"
train_annotations = "captions.csv"
train_images = "."
val_annotations = "captions.csv"
val_images = "."
"""


@pytest.fixture
def silent(tmp_path: Path) -> Path:
    """A recipe that says where the data is, and nothing else."""
    (tmp_path / "silent.toml").write_text(DATA)
    return tmp_path / "silent.toml"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/x", "a\\b", "a\nb"])
@pytest.mark.parametrize("stem", list(KINDS))
def test_a_name_that_leaves_the_folder_of_runs_is_refused(stem: str, name: str) -> None:
    recipe = read_recipe(KINDS[stem][0], FOLDER / f"{stem}.toml")
    with pytest.raises(ConfigError, match="it must be the name of a folder"):
        replace(recipe, name=name)
    assert replace(recipe, name="größer, v2.1").run_dir.parent == recipe.run_dir.parent


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tokenizer.min_cont=3", r"tokenizer.min_cont: there is no such key; did you mean min_count\?"),
        ("model.decoder.hiden_size=3", r"model.decoder.hiden_size: there is no such key; did you mean hidden_size"),
        ("training.phases[0].label_smothing=0", r"training.phases.0.label_smothing: .*did you mean label_smoothing"),
        ("tranining.epochs=1", "tranining: there is no such key; did you mean training"),
        ("training.device=cuda", r"training.device: there is no such key; there are weight_decay, clip_norm"),
    ],
)
def test_a_misspelt_key_names_the_near_ones(silent: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(silent, [override])


def test_keys_of_any_configuration_are_named() -> None:
    with pytest.raises(ConfigError, match=r"here: decoder.cel: there is no such key; did you mean cell"):
        from_dict(ModelConfig, {"decoder": {"cel": "gru"}}, "here")
    with pytest.raises(ConfigError, match="zzz: there is no such key; there are image, encoder, decoder"):
        from_dict(ModelConfig, {"zzz": 1})


@pytest.mark.parametrize("stem", list(KINDS))
@pytest.mark.parametrize("asked", list(KINDS))
def test_a_recipe_of_another_kind_names_its_command(stem: str, asked: str, tmp_path: Path) -> None:
    kind, command = KINDS[stem][0], KINDS[asked][1]
    if stem == asked:
        assert read_recipe(kind, FOLDER / f"{stem}.toml")
        return
    with pytest.raises(ConfigError, match=rf"this is a recipe of {command}, since .*python -m training {command}$"):
        read_recipe(kind, FOLDER / f"{asked}.toml")
    (tmp_path / "recipe.json").touch()
    RunFolder(tmp_path).write_recipe(read_recipe(KINDS[asked][0], FOLDER / f"{asked}.toml"))
    with pytest.raises(ConfigError, match=f"this is a recipe of {command}"):
        RunFolder(tmp_path).read_recipe(kind)


def test_default_phases_can_be_changed_one_by_one(silent: Path) -> None:
    phases = load_recipe(silent).training.phases
    changed = load_recipe(silent, ["training.phases[0].epochs=1", "training.phases[0].warmup=0.2"]).training.phases
    assert changed == (replace(phases[0], epochs=1, warmup=0.2), *phases[1:])
    with pytest.raises(ConfigError, match=r"there is no table phases\[1\]; there are phases\[0\] to phases\[0\]"):
        load_recipe(silent, ["training.phases[1].epochs=1"])
    for key in ("training.steps[0].epochs", "seed[0].x", "nothing[0].x"):
        with pytest.raises(ConfigError, match="is no list of tables"):
            load_recipe(silent, [f"{key}=1"])


def without_dropout(model: ModelConfig) -> ModelConfig:
    return replace(model, decoder=replace(model.decoder, dropout=0.0))


@pytest.mark.parametrize("weights", [[], ["encoder_weights="]])
@pytest.mark.parametrize("start", ["shipped", "other"])
def test_any_model_can_be_grown_by_the_shipped_recipe(
    weights: list[str], start: str, small_checkpoint_file: Path
) -> None:
    """The command of docs/training.md; what the recipe's file says of its model gives way to that of the checkpoint."""
    recipe, file = FOLDER / "flickr8k.toml", SHIPPED if start == "shipped" else small_checkpoint_file
    alone, grown = load_recipe(recipe), load_recipe(recipe, [f"start_from={file}", *weights])
    begun = from_dict(ModelConfig, read_header(file)["config"])
    assert start == "shipped" or without_dropout(begun) != without_dropout(alone.model)
    assert without_dropout(grown.model) == without_dropout(begun)
    assert grown.model.decoder.dropout == alone.model.decoder.dropout
    assert (grown.encoder_weights, grown.training, grown.data) == ("", alone.training, alone.data)


def test_a_recipe_that_says_nothing_of_its_model_grows_any(
    silent: Path, small_checkpoint: Checkpoint, small_checkpoint_file: Path, tmp_path: Path
) -> None:
    grown = load_recipe(silent, [f"start_from={small_checkpoint_file}"])
    assert grown.model == small_checkpoint.model.config
    silent.write_text(f'start_from = "{small_checkpoint_file}"\n{DATA}[model.decoder]\ndropout = 0.1\n')
    model = load_recipe(silent).model
    assert model.decoder.dropout == 0.1
    assert without_dropout(model) == without_dropout(small_checkpoint.model.config)
    config = ModelConfig(small_checkpoint.model.config.image, decoder=DecoderConfig(hidden_size=8, embedding_size=8))
    spelling = Checkpoint(CaptionModel(config, 8), CharacterTokenizer(list("abcd")), {"name": "x"})
    save_checkpoint(spelling, tmp_path / "spelling.safetensors")
    assert load_recipe(silent, [f"start_from={tmp_path / 'spelling.safetensors'}"]).tokenizer.name == "character"


@pytest.mark.parametrize("where", ["file", "command"])
def test_what_contradicts_the_checkpoint_is_still_refused(
    silent: Path, small_checkpoint_file: Path, where: str, recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    data = to_dict(recipe.data)
    lines = "".join(f'{name} = "{data[name]}"\n' for name in data if isinstance(data[name], str) and data[name])
    text = f'name = "grown"\nruns = "{recipe.runs}"\n%s[data]\n{lines}%s'
    given = ["--set", f"start_from={small_checkpoint_file}", "--set", "model.decoder.hidden_size=99"]
    if where == "file":
        start = f'start_from = "{small_checkpoint_file}"\n'
        silent.write_text(text % (start, "[model.decoder]\nhidden_size = 99\n"))
        given = []
    else:
        silent.write_text(text % ("", ""))
    assert main(["fit", "--recipe", str(silent), *given]) == 1
    assert "model.decoder.hidden_size is 99, not 12" in capsys.readouterr().err


def test_weights_beside_a_checkpoint_are_refused(silent: Path, small_checkpoint_file: Path) -> None:
    with pytest.raises(ConfigError, match="start_from brings all weights"):
        load_recipe(silent, [f"start_from={small_checkpoint_file}", "encoder_weights=random"])
    silent.write_text(f'start_from = "{small_checkpoint_file}"\nencoder_weights = "random"\n{DATA}')
    with pytest.raises(ConfigError, match="start_from brings all weights"):
        load_recipe(silent)
