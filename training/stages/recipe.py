"""A recipe of stages: which commands make a model, one after the other, in one TOML file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from captioner.config import STRICT
from captioner.errors import ConfigError
from training.concepts.recipe import ConceptRecipe
from training.language.recipe import LanguageRecipe
from training.recipe import Recipe, check_name

Command = Literal[
    "fit-concepts", "fit-text", "fit", "average", "join", "quantize", "add-class-words", "calibrate", "export"
]
RUNS: Mapping[str, type[Any]] = MappingProxyType(
    {"fit-concepts": ConceptRecipe, "fit-text": LanguageRecipe, "fit": Recipe}
)  # the commands that train by a recipe of their own
MODELS = ("fit", "average", "join", "quantize", "add-class-words", "calibrate", "export")  # make a captioning model
TAKES: Mapping[str, tuple[int, int, tuple[str, ...]]] = MappingProxyType(
    {
        "fit-concepts": (0, 1, ("fit-concepts",)),
        "fit-text": (0, 0, ()),
        "fit": (0, 2, ("fit-concepts", "fit-text", *MODELS)),
        "average": (2, 100, MODELS),
        "join": (2, 100, MODELS),
        "quantize": (1, 1, MODELS),
        "add-class-words": (1, 1, MODELS),
        "calibrate": (1, 1, MODELS),
        "export": (1, 1, MODELS),
    }
)  # how many earlier stages each goes on from, at least and at most, and of which commands
STARTS = MappingProxyType(
    {"fit-concepts": "encoder_weights", "fit-text": "decoder_weights"}
)  # and start_from of models


@dataclass(frozen=True)
class StageRecipe:
    """One command.

    Attributes:
        name: By which other stages, `--set` and messages call it.
        command: What it does.
        recipe: Of a command that trains: its recipe file, relative to this one.
        of: The stages whose results it takes: as the weights that it starts from, or as what it averages, joins,
            rounds, gives class words or calibrates.
        set: Of a command that trains: `key.sub=value` texts that replace values of its recipe.
        arguments: Of the other commands: further arguments, as on the command line.
    """

    __pydantic_config__ = STRICT
    name: str
    command: Command
    recipe: str = ""
    of: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        trains = self.command in RUNS
        if trains != bool(self.recipe):
            what = "needs a recipe" if trains else "has no recipe"
            raise ConfigError(f"stage {self.name}: {self.command} {what}")
        if self.arguments and trains:
            raise ConfigError(f"stage {self.name}: {self.command} has no arguments; set changes its recipe")
        if self.set and not trains:
            raise ConfigError(f"stage {self.name}: {self.command} has no recipe to set; it takes arguments")


@dataclass(frozen=True)
class StagesRecipe:
    """Everything from the first weights to the model that is used.

    Attributes:
        name: Of the folder with the results of the stages that have no run of their own.
        stages: The commands, in the order in which they run.
        runs: Folder in which that folder, and those of the runs, are made.
    """

    __pydantic_config__ = STRICT
    name: str
    stages: tuple[StageRecipe, ...]
    runs: str = "runs"

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.stages:
            raise ConfigError("stages is empty; it must have at least one stage")
        earlier: dict[str, StageRecipe] = {}
        for stage in self.stages:
            _check_name(stage.name, earlier)
            _check_of(stage, earlier)
            earlier[stage.name] = stage

    @property
    def run_dir(self) -> Path:
        """Where the results of stages without a run of their own lie, and what is known of all."""
        return Path(self.runs).expanduser() / self.name


def _check_name(name: str, earlier: Mapping[str, StageRecipe]) -> None:
    if name in earlier:
        raise ConfigError(f"two stages are called {name}")
    keys = {field.name for kind in RUNS.values() for field in fields(kind)}
    if name in keys or any(mark in name for mark in ".=["):
        raise ConfigError(f"a stage is called {name}, which --set could not tell from a key of a recipe")


def _check_of(stage: StageRecipe, earlier: Mapping[str, StageRecipe]) -> None:
    least, most, commands = TAKES[stage.command]
    if not least <= len(stage.of) <= most:
        number = str(least) if least == most else f"{least} to {most}"
        raise ConfigError(f"stage {stage.name}: of names {len(stage.of)} stages; {stage.command} takes {number}")
    for name in stage.of:
        if name not in earlier:
            before = ", ".join(earlier) or "none"
            raise ConfigError(f"stage {stage.name}: of names {name}, which is no stage before it; those are {before}")
        if earlier[name].command not in commands:
            wanted = ", ".join(commands)
            raise ConfigError(
                f"stage {stage.name}: {name} is of {earlier[name].command}; {stage.command} goes on from {wanted}"
            )
    keys = [start_key(earlier[name]) for name in stage.of]
    if stage.command in RUNS and (("start_from" in keys and len(keys) > 1) or len(set(keys)) < len(keys)):
        raise ConfigError(f"stage {stage.name}: {' and '.join(stage.of)} cannot both be what it starts from")


def start_key(stage: StageRecipe) -> str:
    """Return the key by which a captioning recipe takes a stage's result to start from."""
    return STARTS.get(stage.command, "start_from")
