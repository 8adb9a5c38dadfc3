"""What the numbers and the name of a recipe may be."""

from typing import Any

from captioner.errors import ConfigError


def check_ranges(recipe: Any, prefix: str) -> None:
    """Make sure that the numbers of a recipe lie within its ``RANGES``, from a field's name to the least and the most.

    Args:
        recipe: A dataclass with such a table.
        prefix: What stands before a field's name in the message.

    Raises:
        ConfigError: If one does not.
    """
    for name, (low, high) in recipe.RANGES.items():
        if not low <= getattr(recipe, name) <= high:
            raise ConfigError(f"{prefix}{name} is {getattr(recipe, name)}; it must be between {low} and {high}")


def check_name(name: str) -> None:
    """Make sure that a run's name is that of one folder, which lies in the folder of all runs.

    Raises:
        ConfigError: If it is not.
    """
    if name in ("", ".", "..") or any(character in "/\\" or ord(character) < 32 for character in name):
        raise ConfigError(
            f"name is {name!r}; it must be the name of a folder, without / and \\. "
            "Another place for all runs is set by runs, for example --set runs=elsewhere"
        )
