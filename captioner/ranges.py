"""Ranges that stand in a field's annotation, by which its values are checked and shown to whoever chooses one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

from captioner.errors import CaptionerError, ConfigError

NONE: Mapping[str, "Range"] = MappingProxyType({})


@dataclass(frozen=True)
class Range:
    """The numbers that a field may hold, as in ``beams: Annotated[int, Range(1, 50)] = 5``.

    Attributes:
        least: The least of them.
        most: The most of them; infinity is no limit.
        note: What follows the limits in a message: a unit, or in brackets where they come from.
        above: Whether ``least`` itself is left out.
        below: Whether ``most`` itself is left out.
    """

    least: float
    most: float = math.inf
    note: str = ""
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        reaches = self.least < value if self.above else self.least <= value
        return reaches and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        """Return the range as tables show it: ``1 to 50``."""
        if self.most == math.inf:
            return f"above {self.least}" if self.above else f"at least {self.least}"
        return f"{'above ' * self.above}{self.least} to {'below ' * self.below}{self.most}"

    @property
    def must(self) -> str:
        """What completes "it must be"."""
        least = f"{'above' if self.above else 'at least'} {self.least}"
        if self.most == math.inf:
            return least + self.note
        if self.above or self.below:
            return f"{least} and {'below' if self.below else 'at most'} {self.most}{self.note}"
        return f"between {self.least} and {self.most}{self.note}"


@cache
def ranges_of(kind: type) -> Mapping[str, Range]:
    """Return the ranges of a dataclass's fields, by name; fields without one are left out."""
    hints = get_type_hints(kind, include_extras=True).items()
    found = {name: [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Range)] for name, hint in hints}
    return MappingProxyType({name: ranges[0] for name, ranges in found.items() if ranges})


def check_ranges(
    config: Any,
    prefix: str = "",
    narrower: Mapping[str, Range] = NONE,
    error: type[CaptionerError] = ConfigError,
) -> None:
    """Make sure that every field of a dataclass lies within its range, or is ``None``.

    Args:
        config: The dataclass.
        prefix: What stands before a field's name in the message.
        narrower: Ranges that hold in place of the annotated ones, since they depend on other fields.
        error: What to raise.

    Raises:
        CaptionerError: Of that kind, if one does not.
    """
    for name, annotated in ranges_of(config.__class__).items():
        value, allowed = getattr(config, name), narrower.get(name, annotated)
        if value is not None and value not in allowed:
            raise error(f"{prefix}{name} is {value}; it must be {allowed.must}")
