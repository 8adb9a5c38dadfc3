"""The ranges that the numbers of a recipe must lie in."""

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
