"""Values of a recipe that the command line replaces."""

import dataclasses
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from captioner.checkpoint import read_header
from captioner.config import ModelConfig, from_dict, to_dict
from captioner.encoders import TIMM, timm_networks
from captioner.errors import ConfigError

MARKS = {  # what only recipes of a command have, those of fit last: concepts need data, too
    "all": ("stages",),
    "fit-text": ("text", "samples"),
    "fit-answers": ("questions", "network"),
    "fit-concepts": ("words",),
    "fit": ("model", "decoding", "data"),
}


def check_kind(kind: Any, values: Mapping[str, Any], source: str) -> None:
    """Make sure that a recipe is not one of another command.

    Args:
        kind: The dataclass that it should fill.
        values: What it says.
        source: Where it came from, for the message.

    Raises:
        ConfigError: If it is; the message names the command.
    """
    foreign = values.keys() - {field.name for field in dataclasses.fields(kind)}
    for command, marks in MARKS.items():
        if found := [mark for mark in marks if mark in foreign]:
            raise ConfigError(
                f"{source}: this is a recipe of {command}, since it has {' and '.join(found)}; "
                f"use it with python -m training {command}"
            )


def read_values(kind: Any, path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read what a recipe file says, some of it replaced.

    Args:
        kind: The dataclass that it is to fill.
        path: A TOML file.
        overrides: See :func:`override`.

    Raises:
        ConfigError: If the file is missing or no TOML, or is a recipe of another command.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a readable recipe: {error}") from None
    check_kind(kind, values, str(path))
    override(values, kind, overrides)
    return values


def override(values: dict[str, Any], kind: Any, overrides: Sequence[str]) -> None:
    """Replace values in place.

    Args:
        values: Of a recipe.
        kind: The dataclass that it fills; tables in lists that it leaves out have its defaults.
        overrides: ``key.sub=value`` and ``key.list[0].sub=value``; a value is TOML, or else a plain text.

    Raises:
        ConfigError: If one is not written so, or names a table that is none.
    """
    for one in overrides:
        _override(values, kind, one)


def _override(values: dict[str, Any], kind: Any, text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: write it as key.sub=value")
    *parents, last = key.strip().split(".")
    for parent in parents:
        name = parent.partition("[")[0]
        values = _numbered(values, kind, parent, text) if "[" in parent else values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {text}: {parent} is a value, not a table")
        kind = get_type_hints(kind).get(name) if dataclasses.is_dataclass(kind) else None
    try:
        values[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = value


def _numbered(values: dict[str, Any], kind: Any, parent: str, text: str) -> Any:
    """Return the table of a number in a list of tables, which is the default one where the recipe is silent."""
    name, _, number = parent.partition("[")
    if name not in values:
        values[name] = _default_tables(kind, name)
    tables = values[name]
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"--set {text}: there is no table {parent}; {name} is no list of tables")
    if not re.fullmatch(r"\d+\]", number) or int(number[:-1]) >= len(tables):
        raise ConfigError(f"--set {text}: there is no table {parent}; there are {name}[0] to {name}[{len(tables) - 1}]")
    return tables[int(number[:-1])]


def _default_tables(kind: Any, name: str) -> list[Any]:
    """Return the tables that a dataclass has under a name if nothing is said; none if it has no such."""
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    default = next((field.default for field in fields if field.name == name), None)
    tables = default if isinstance(default, tuple) else ()
    return [to_dict(table) for table in tables if dataclasses.is_dataclass(table)]


WEIGHTS = ("encoder_weights", "decoder_weights")  # start_from brings all of them


def completed(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a captioning recipe's values, its model that of ``start_from`` as far as nobody asked for another.

    A recipe that names ``start_from`` itself states the rest of its ``[model]`` beside it. Where the command line names
    it, the file was written for a model of its own, which gives way, and so do the weights that it starts from. Other
    settings, the dropout among them, are the recipe's. What was asked for together with ``start_from``, or later,
    stays, so that :func:`training.initial.vocabulary.grow` can refuse what contradicts the checkpoint.

    Args:
        values: Of the file and the command line together.
        given: Of the command line alone.

    Raises:
        CheckpointError: If the checkpoint cannot be read.
        ConfigError: If it holds something that this version does not know.
    """
    start = values.get("start_from")
    if not isinstance(start, str) or not start or not isinstance(values.get("model", {}), Mapping):
        return dict(values)
    path = Path(start).expanduser()
    header = read_header(path)
    asked = given if "start_from" in given else values
    own = to_dict(from_dict(ModelConfig, header["config"], f"{path}: config"))
    model = _merged(own, _dropout(values.get("model", {})))
    silent = {name: "" for name in WEIGHTS if name not in asked}
    tokenizer = {"name": header["tokenizer"]["name"]} if "name" not in _table(asked, "tokenizer") else {}
    found = {**values, **silent, "model": _merged(model, _table(asked, "model"))}
    return found if not tokenizer else {**found, "tokenizer": {**_table(values, "tokenizer"), **tokenizer}}


def with_own_image(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's values, and of an image what timm says its network was made for, where the recipe is silent.

    Raises:
        ConfigError: If timm does not know the encoder, or is not installed.
    """
    where = _table(values, "model") if "model" in values else values
    name = _table(where, "encoder").get("name")
    if not isinstance(name, str) or not name.startswith(TIMM):
        return dict(values)
    image = {"image": {**timm_networks().own_image(name), **_table(where, "image")}}
    return {**values, "model": {**where, **image}} if "model" in values else {**values, **image}


def _dropout(model: Mapping[str, Any]) -> dict[str, Any]:
    decoder = _table(model, "decoder")
    return {"decoder": {"dropout": decoder["dropout"]}} if "dropout" in decoder else {}


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = values.get(name)
    return table if isinstance(table, Mapping) else {}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables, the second's values in the place of the first's."""
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
