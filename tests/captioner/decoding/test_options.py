"""Options of the search: what is allowed, and that none is ignored."""

import math
import re
from typing import Any

import pytest

from captioner.config import from_dict
from captioner.decoding import DecodingOptions
from captioner.errors import OptionError

SAMPLE = {"search": "sample"}
GROUPS = {"beam_size": 6, "groups": 2}
# Kind of search, option, values just inside, values just outside, how the allowed values are named.
RANGES = [
    ({}, "beam_size", (1, 50), (0, 51, -3), "between 1 and 50"),
    ({"beam_size": 7}, "num_captions", (1, 7), (0, 8), "between 1 and 7 (the beam size)"),
    (SAMPLE, "num_captions", (1, 50), (0, 51), "between 1 and 50"),
    ({}, "max_length", (1, 200), (0, 201), "between 1 and 200"),
    ({}, "length_penalty", (0, 0.7, 2), (-0.1, 2.1, math.nan), "between 0 and 2"),
    (SAMPLE, "length_penalty", (0, 2), (-0.1, 2.1), "between 0 and 2"),
    ({"max_length": 9}, "min_length", (0, 9), (-1, 10), "between 0 and 9 (the maximum length)"),
    ({}, "no_repeat_ngram_size", (0, 1, 10), (-1, 11), "between 0 and 10"),
    ({"beam_size": 6}, "groups", (1, 2, 3, 6), (0, 7), "between 1 and 6 (the beam size)"),
    ({"beam_size": 6}, "groups", (), (4, 5), "divide the beam size, which is 6"),
    (GROUPS, "diversity", (0, 3.5, 10), (-0.1, 10.5, math.nan), "between 0 and 10"),
    (SAMPLE, "temperature", (1e-300, 0.1, 10), (0, -1, 10.1, math.inf, math.nan), "above 0 and at most 10"),
    (SAMPLE, "top_k", (0, 1, 100_000), (-1,), "at least 0"),
    (SAMPLE, "top_p", (1e-9, 0.5, 1), (0, 1.01, math.nan), "above 0 and at most 1"),
    (SAMPLE, "seed", (None, 0, 2**63 - 1), (-1, 2**63), f"between 0 and {2**63 - 1}"),
    ({}, "search", ("beam", "sample"), ("greedy", ""), "'beam' or 'sample'"),
]
UNUSED = [
    ({}, {"temperature": 0.5}, "search is 'beam'"),
    ({}, {"top_k": 3}, "search is 'beam'"),
    ({}, {"top_p": 0.9}, "search is 'beam'"),
    ({}, {"seed": 0}, "search is 'beam'"),
    ({"beam_size": 1}, {"temperature": 0.5}, "search is 'beam'"),
    (SAMPLE, {"beam_size": 4}, "search is 'sample'"),
    (SAMPLE, {"groups": 5}, "search is 'sample'"),
    (SAMPLE, {"diversity": 1.0}, "search is 'sample'"),
    ({}, {"diversity": 1.0}, "groups is 1"),
]


@pytest.mark.parametrize(("kind", "name", "inside", "outside", "allowed"), RANGES)
def test_ranges(
    kind: dict[str, Any], name: str, inside: tuple[Any, ...], outside: tuple[Any, ...], allowed: str
) -> None:
    for value in inside:
        assert getattr(DecodingOptions(**(kind | {name: value})), name) == value
    for value in outside:
        shown = repr(value) if isinstance(value, str) else str(value)
        with pytest.raises(OptionError, match=f"^{name} is {re.escape(shown)}; it must .*{re.escape(allowed)}"):
            DecodingOptions(**(kind | {name: value}))


@pytest.mark.parametrize(("kind", "given", "where"), UNUSED)
def test_an_option_that_is_not_used_is_refused(kind: dict[str, Any], given: dict[str, Any], where: str) -> None:
    [(name, value)] = given.items()
    default = getattr(DecodingOptions(), name)
    message = f"{name} is {value}; it must be left at {default}, since it is not used when {where}"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        DecodingOptions(**kind, **given)
    assert DecodingOptions(**kind, **{name: default})


def test_every_option_is_used_by_some_search() -> None:
    every = [
        DecodingOptions(6, 2, 30, 1.0, "beam", 3, 2, 3, 2.0, beginning="a", consensus=1.0),
        DecodingOptions(5, 2, 30, 1.0, "sample", 3, 2, 1, 0.5, 0.5, 2, 0.5, 1, "a"),
    ]
    default = DecodingOptions()
    changed = {name for options in every for name, value in vars(options).items() if value != getattr(default, name)}
    assert changed == set(vars(default))


def test_options_are_read_from_a_configuration() -> None:
    read = from_dict(DecodingOptions, {"search": "sample", "num_captions": 9, "top_p": 0.9, "seed": 4})
    assert read == DecodingOptions(search="sample", num_captions=9, top_p=0.9, seed=4)
    assert from_dict(DecodingOptions, {}) == DecodingOptions()


@pytest.mark.parametrize(("log_prob", "length", "penalty"), [(-6.0, 4, 0.5), (-6.0, 4, 0.0), (-0.5, 1, 2.0)])
def test_score(log_prob: float, length: int, penalty: float) -> None:
    assert DecodingOptions(length_penalty=penalty).score(log_prob, length) == pytest.approx(log_prob / length**penalty)
