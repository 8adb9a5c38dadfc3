"""The keys of a recipe as help and documentation list them: read from its dataclasses, which say everything once."""

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from captioner.ranges import ranges_of

KINDS = {bool: "true, false", int: "whole number", float: "number", str: "text"}


@dataclass(frozen=True)
class Key:
    """A row of a recipe.

    Attributes:
        name: Where it stands; ``[]`` follows the name of a list of tables.
        values: What it may be.
        default: What it is if it is left out, as TOML spells it.
        meaning: What it is for.
    """

    name: str
    values: str
    default: str
    meaning: str


def keys_of(kind: Any, prefix: str = "") -> Iterator[Key]:
    """Yield every key of a recipe, tables within tables included."""
    hints, meanings, ranges = get_type_hints(kind, include_extras=True), _meanings(kind), ranges_of(kind)
    for row in fields(kind):
        inner = [one for one in (hints[row.name], *get_args(hints[row.name])) if is_dataclass(one)]
        if inner and get_origin(hints[row.name]) is not Annotated:
            listed = "[]" if get_origin(hints[row.name]) is tuple else ""
            yield from keys_of(inner[0], f"{prefix}{row.name}{listed}.")
        else:
            values = str(ranges[row.name]) if row.name in ranges else _values(hints[row.name])
            yield Key(prefix + row.name, values, _default(row), meanings.get(row.name, ""))


def listing(kind: Any) -> str:
    """Return the keys of a recipe for a command's help, one a line."""
    rows = [(key.name, key.values if key.default == "" else f"{key.values}; {key.default}") for key in keys_of(kind)]
    width = max(len(name) for name, _ in rows)
    return "keys of a recipe, what they may be, and their defaults:\n" + "\n".join(
        f"  {name:{width}}  {told}" for name, told in rows
    )


def _values(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return "list"
    if hint in KINDS:
        return KINDS[hint]
    return " or ".join(dict.fromkeys(_values(one) for one in get_args(hint) if one is not type(None)))


def _default(row: Field[Any]) -> str:
    if row.default is MISSING:
        return ""
    return "none" if row.default is None else json.dumps(row.default)


def _meanings(kind: Any) -> dict[str, str]:
    """Return what a dataclass's docstring says of its attributes, those that it inherits included."""
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        _, _, text = (inspect.cleandoc(owner.__doc__ or "")).partition("Attributes:\n")
        for name, meaning in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE):
            plain = re.sub(r":\w+:`", "`", meaning).replace("``", "`")
            found[name] = " ".join(plain.split())
    return found
