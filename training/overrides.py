"""Values of a recipe that the command line replaces."""

import dataclasses
import re
import tomllib
from collections.abc import Sequence
from typing import Any, get_type_hints

from captioner.config import to_dict
from captioner.errors import ConfigError


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
