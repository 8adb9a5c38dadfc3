"""The arithmetic of times: who is run when, percentiles, and ratios that are taken round by round."""

import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.timing import Ratio, Work, in_turn, percentile, ratio, summary, without
from captioner.errors import OptionError

positive = st.floats(1e-6, 1e3)
pairs = st.lists(st.tuples(positive, positive), min_size=1, max_size=30)


def test_works_take_turns_after_one_round_to_warm_up() -> None:
    seen: list[str] = []
    works = [Work(name, lambda name=name: seen.append(name)) for name in "ab"]  # type: ignore[misc]
    times = in_turn(works, 3)
    assert "".join(seen) == "abababab"
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}
    assert all(value >= 0 for values in times.values() for value in values)


def test_times_are_told_per_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.timing.seconds_of", lambda run: run())
    assert in_turn([Work("batch", lambda: 6.0, photos=4)], 2) == {"batch": [1.5, 1.5]}


def test_no_round_is_refused() -> None:
    with pytest.raises(OptionError, match="rounds is 0; it must be at least 1"):
        in_turn([], 0)


@given(st.lists(positive, min_size=1, max_size=30))
def test_percentiles_are_those_of_the_definition(values: list[float]) -> None:
    assert percentile(values, 0) == min(values)
    assert percentile(values, 100) == max(values)
    assert percentile(values, 50) == pytest.approx(median(values))
    place = 0.9 * (len(values) - 1)  # linear between the two that lie around it
    below, above = sorted(values)[math.floor(place)], sorted(values)[math.ceil(place)]
    assert percentile(values, 90) == pytest.approx(below + (place % 1) * (above - below))


def test_a_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 50))


@given(pairs)
def test_ratios_are_taken_within_a_round(times: list[tuple[float, float]]) -> None:
    above, below = zip(*times, strict=True)
    shares = np.array(above) / np.array(below)
    found = ratio(above, below)
    assert found.median == pytest.approx(np.median(shares))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(shares, [25, 75])))
    inverse = ratio(below, above)
    if len(times) % 2:  # with an even number the median is a mean, and no inverse
        assert inverse.median == pytest.approx(1 / found.median)


def test_a_machine_that_slows_down_changes_no_ratio() -> None:
    slowdown = [1.0, 5.0, 2.0, 9.0]
    assert ratio([3 * s for s in slowdown], [2 * s for s in slowdown]) == Ratio(1.5, 1.5, 1.5)
    assert str(Ratio(1.5, 1.25, 2)) == "1.50 (1.25 to 2.00)"


def test_parts_are_taken_away_round_by_round() -> None:
    assert without([10, 20], [1, 2], [3, 4]) == [6, 14]
    assert without([10, 20]) == [10, 20]


def test_a_summary_is_in_milliseconds() -> None:
    found = summary([0.001, 0.002, 0.011])
    assert found == pytest.approx({"median_ms": 2, "fastest_ms": 1, "p90_ms": 9.2})
