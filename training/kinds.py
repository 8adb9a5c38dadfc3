"""Which command a recipe is for."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from captioner.errors import ConfigError

MARKS = {  # what only recipes of a command have, those of fit last: concepts need data, too
    "fit-text": ("text", "samples"),
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
