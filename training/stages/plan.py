"""Stages made ready to run: what each reads, what it makes, and whether that is made already."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.config import from_dict, to_dict
from captioner.errors import ConfigError
from captioner.files import write_whole
from training.errors import TrainingError
from training.recipe import Recipe, read_recipe
from training.recipe_file import WEIGHTS, read_values
from training.recipe_keys import keys_of
from training.runs.folder import RunFolder
from training.runs.provenance import sha256
from training.runs.state import read_progress
from training.stages.recipe import RUNS, StageRecipe, StagesRecipe, start_key

OWN_KEYS = ("name", "runs")  # which --set may change of the recipe of stages itself


@dataclass(frozen=True)
class Stage:
    """A stage and its place among the others.

    Attributes:
        recipe: What it is.
        folder: Of the recipe of stages' own results.
        file: Its recipe file; ``None`` if it has none.
        overrides: What replaces values of that.
        before: The stages whose results it takes.
        starts: What tells its recipe so, as texts of ``--set``.
    """

    recipe: StageRecipe
    folder: Path
    file: Path | None = None
    overrides: tuple[str, ...] = ()
    before: tuple["Stage", ...] = ()
    starts: tuple[str, ...] = ()

    @property
    def kind(self) -> Any:
        """The dataclass of its recipe; ``None`` if it has none."""
        return RUNS.get(self.recipe.command)

    def read(self, with_start: bool = True) -> Any:
        """Return the recipe of its run.

        Args:
            with_start: Whether the results that it starts from are there, and are to be read.
        """
        if self.file is None:
            raise ValueError(f"stage {self.recipe.name} has no recipe")
        return read_recipe(self.kind, self.file, (*self.overrides, *self.starts) if with_start else self.overrides)

    @property
    def made(self) -> Path:
        """The file that it makes."""
        if self.file is None:
            return self.folder / f"{self.recipe.name}.safetensors"
        return RunFolder(self.read(with_start=False).run_dir).best_file

    def data(self) -> Recipe:
        """Return the recipe by which the captioning model was trained that it makes something of."""
        found: Recipe = self.read(with_start=False) if self.recipe.command == "fit" else self.before[0].data()
        return found

    @property
    def record(self) -> Path:
        """What is known of how it began, and of what it made."""
        return self.folder / f"{self.recipe.name}.json"

    def inputs(self) -> dict[str, str]:
        """Return the hashes of the results that it takes, by the names of their stages."""
        return {stage.recipe.name: sha256(stage.made) for stage in self.before}


def plan(path: Path, overrides: Sequence[str] = ()) -> list[Stage]:
    """Read a recipe of stages, and every recipe that it names.

    Args:
        path: A TOML file.
        overrides: ``key.sub=value`` for all stages whose recipes have the key, ``STAGE.key.sub=value`` for one of them,
            ``name=value`` for the recipe of stages itself.

    Raises:
        ConfigError: If a file is missing or no TOML, if a key or value is not one that its recipe has, if no stage has
            a key that is to be replaced, or if two runs would share a folder.
    """
    own = [text for text in overrides if _key(text) in OWN_KEYS]
    recipe = from_dict(StagesRecipe, read_values(StagesRecipe, path, own), str(path))
    names = [stage.name for stage in recipe.stages]
    _check_overrides(recipe, [text for text in overrides if text not in own], names)
    stages: dict[str, Stage] = {}
    for one in recipe.stages:
        before = tuple(stages[name] for name in one.of)
        file = path.parent / one.recipe if one.recipe else None
        starts = _starts(one, before)
        replaced = _overrides_of(one, overrides, [_key(text) for text in starts])
        stages[one.name] = Stage(one, recipe.run_dir, file, replaced, before, starts)
    _check_folders(recipe, stages)
    return list(stages.values())


def _key(text: str) -> str:
    return text.partition("=")[0].strip()


def _starts(one: StageRecipe, before: Sequence[Stage]) -> tuple[str, ...]:
    """Return what tells a recipe which results it starts from, as texts of ``--set``."""
    if one.command not in RUNS:
        return ()
    return tuple(f"{start_key(stage.recipe)}={json.dumps(str(stage.made))}" for stage in before)


def _overrides_of(one: StageRecipe, overrides: Sequence[str], starts: Sequence[str]) -> tuple[str, ...]:
    """Return what replaces values of a stage's recipe: its own, then those for all, then those for it alone.

    Weights for all are for the stages that do not start from others' results.
    """
    if one.command not in RUNS:
        return ()
    taken = {"name", *((*WEIGHTS, *starts) if "start_from" in starts else starts)}
    shared = [text for text in overrides if _key(text) not in taken and _has(one, _key(text))]
    alone = [text.strip().removeprefix(f"{one.name}.") for text in overrides if _key(text).startswith(f"{one.name}.")]
    return (*one.set, *shared, *alone)


def _has(one: StageRecipe, key: str) -> bool:
    """Tell whether the recipe of a stage has a key, or a table of that name."""
    plain = re.sub(r"\[\d*\]", "[]", key)
    known = (row.name for row in keys_of(RUNS[one.command])) if one.command in RUNS else ()
    return any(name == plain or name.startswith((f"{plain}.", f"{plain}[].")) for name in known)


def _check_overrides(recipe: StagesRecipe, overrides: Sequence[str], names: Sequence[str]) -> None:
    for text in overrides:
        first, _, rest = _key(text).partition(".")
        chosen = [one for one in recipe.stages if one.name == first]
        if chosen and chosen[0].command not in RUNS:
            raise ConfigError(f"--set {text}: stage {first} is of {chosen[0].command}, which has no recipe")
        if not chosen and not any(_has(one, _key(text)) for one in recipe.stages):
            known = {row.name for one in recipe.stages if one.command in RUNS for row in keys_of(RUNS[one.command])}
            near = difflib.get_close_matches(_key(text), [*known, *names], n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"the stages are {', '.join(names)}"
            raise ConfigError(f"--set {text}: no stage has such a key, and none is called {first}; {hint}")
        if chosen and not rest:
            raise ConfigError(f"--set {text}: {first} is a stage; write it as {first}.key=value")


def _check_folders(recipe: StagesRecipe, stages: Mapping[str, Stage]) -> None:
    """Read all recipes, as far as they can be read before there is a result, and see that no two share a folder."""
    folders = {recipe.run_dir: "the stages themselves"}
    for name, stage in stages.items():
        if stage.file is None:
            continue
        folder = stage.read(with_start=False).run_dir
        if folder in folders:
            raise ConfigError(
                f"stage {name} would train in {folder}, which is the folder of {folders[folder]}; "
                f"give it another by --set {name}.name=NAME, or by set in the recipe of stages"
            )
        folders[folder] = f"stage {name}"


def is_done(stage: Stage) -> bool:
    """Tell whether what a stage makes is there, made of what it would be made of now.

    Raises:
        TrainingError: If its run was begun by another recipe, or from other results.
        CheckpointError: If a result that it takes cannot be read.
    """
    if stage.file is None:
        record = _known(stage)
        return record == _wanted(stage) | {"made": record.get("made")} and _same_file(stage.made, record.get("made"))
    recipe = stage.read()
    if not is_begun(stage):
        return False
    _check_unchanged(stage, recipe)
    phases = len(recipe.training.phases) if isinstance(recipe, Recipe) else 1
    return read_progress(RunFolder(recipe.run_dir).state_file).phase >= phases


def is_begun(stage: Stage) -> bool:
    """Tell whether a stage that trains has a run to go on with."""
    return stage.file is not None and RunFolder(stage.read(with_start=False).run_dir).holds_run


def note_begin(stage: Stage) -> None:
    """Keep what a stage begins with, for :func:`is_done` to compare."""
    stage.folder.mkdir(parents=True, exist_ok=True)
    write_whole(stage.record, json.dumps(_wanted(stage), indent=1) + "\n")


def note_end(stage: Stage) -> None:
    """Keep what a stage made."""
    write_whole(stage.record, json.dumps(_wanted(stage) | {"made": sha256(stage.made)}, indent=1) + "\n")


def _wanted(stage: Stage) -> dict[str, Any]:
    return {"command": stage.recipe.command, "arguments": [*stage.recipe.arguments], "inputs": stage.inputs()}


def _known(stage: Stage) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(stage.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _same_file(path: Path, digest: Any) -> bool:
    return path.is_file() and sha256(path) == digest


def _check_unchanged(stage: Stage, recipe: Any) -> None:
    """Make sure that a run goes on as it began."""
    folder = RunFolder(recipe.run_dir)
    began, wanted = (dict(_leaves(to_dict(one))) for one in (folder.read_recipe(stage.kind), recipe))
    other = [
        f"{key} was {began.get(key)!r}, not {wanted.get(key)!r}"
        for key in {**wanted, **began}
        if began.get(key) != wanted.get(key)
    ]
    inputs, now = _known(stage).get("inputs", {}), stage.inputs()
    other += [f"{name} has made another file since" for name in now if name in inputs and inputs[name] != now[name]]
    if other:
        raise TrainingError(
            f"stage {stage.recipe.name}: the run in {folder.path} began differently: {'; '.join(other)}. "
            f"Go on as it began, remove its folder, or give the stage another by --set {stage.recipe.name}.name=NAME"
        )


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested tables and lists, by the keys that lead to them."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{prefix}[{number}]")
    else:
        yield prefix, list(value) if isinstance(value, tuple) else value
