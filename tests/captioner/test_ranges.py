"""Ranges in the annotations of fields: what they hold, how they are told, and that they are looked at."""

import math
from dataclasses import dataclass
from typing import Annotated

import pytest

from captioner.config import from_dict
from captioner.errors import ConfigError, OptionError
from captioner.ranges import Range, check_ranges, ranges_of

TOLD = [
    (Range(1, 50), (1, 2.5, 50), (0, 50.1, math.nan), "1 to 50", "between 1 and 50"),
    (Range(0), (0, math.inf), (-1, math.nan), "at least 0", "at least 0"),
    (Range(0, above=True), (1e-300,), (0, math.nan), "above 0", "above 0"),
    (Range(0, 1, above=True), (1e-300, 1), (0, 1.01), "above 0 to 1", "above 0 and at most 1"),
    (Range(0, 1, below=True), (0, 0.99), (-0.1, 1), "0 to below 1", "at least 0 and below 1"),
    (Range(32, 64, " pixels"), (32,), (65,), "32 to 64", "between 32 and 64 pixels"),
]


@dataclass(frozen=True)
class Base:
    size: Annotated[int, Range(1, 8)] = 2
    name: str = ""

    def __post_init__(self) -> None:
        check_ranges(self, "base ", {"share": Range(0, self.size, " (the size)")} if self.size > 4 else {})


@dataclass(frozen=True)
class Derived(Base):
    share: Annotated[float | None, Range(0, 100)] = None


@pytest.mark.parametrize(("allowed", "inside", "outside", "shown", "must"), TOLD)
def test_what_a_range_holds_and_how_it_is_told(
    allowed: Range, inside: tuple[float, ...], outside: tuple[float, ...], shown: str, must: str
) -> None:
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)
    assert (str(allowed), allowed.must) == (shown, must)


def test_fields_have_their_ranges_and_those_that_they_inherit() -> None:
    assert ranges_of(Base) == {"size": Range(1, 8)}
    assert ranges_of(Derived) == {"size": Range(1, 8), "share": Range(0, 100)}


def test_values_out_of_range_are_refused_wherever_they_come_from() -> None:
    assert Derived(share=100).share == 100
    assert from_dict(Derived, {"size": 8, "share": 8}) == Derived(8, share=8)
    for values, message in (
        ({"size": 9}, "^base size is 9; it must be between 1 and 8$"),
        ({"share": -1}, "^base share is -1; it must be between 0 and 100$"),
        ({"size": 5, "share": 6}, r"^base share is 6; it must be between 0 and 5 \(the size\)$"),
    ):
        with pytest.raises(ConfigError, match=message):
            Derived(**values)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=message.replace(" 6;", r" 6(\.0)?;").replace(" -1;", r" -1(\.0)?;")):
            from_dict(Derived, values)


def test_the_kind_of_error_can_be_chosen() -> None:
    with pytest.raises(OptionError, match="size is 9"):
        check_ranges(object.__new__(Holder), error=OptionError)


class Holder:
    size: Annotated[int, Range(1, 8)] = 9
