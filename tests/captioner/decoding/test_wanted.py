"""Wanted words: search with a bonus against enumeration and against a slow reading, image by image."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.decoding import DecodingOptions, Wanted, search
from captioner.errors import OptionError
from tests.captioner.decoding.test_search import BEAMS, BEGINNINGS, DIVERSE, constraints
from tests.support.toy_decoder import EOS, SPECIAL, STATES, Reader, Tokens, ToyDecoder, run, table

NONE = (-1, -1)
FORMS = st.sampled_from([NONE, (4, -1), (5, 6), (6, 4), (6, -1)])
BONUSES = st.sampled_from([0.0, 0.7, 3.0, 8.0])
OPTIONS = st.builds(lambda one, two: DecodingOptions(**one, **two), BEAMS | DIVERSE, constraints(7))


def wanted(bonus: float, *forms: tuple[int, ...]) -> Wanted:
    return Wanted(np.array(forms), bonus)


def gain(tokens: Tokens, beginning: Tokens, forms: Sequence[int], bonus: float) -> float:
    """Return the bonus of a sequence, word by word."""
    has = not set(beginning).isdisjoint(forms)
    return 0.0 if has or set(tokens).isdisjoint(forms) else bonus


def ranking(
    reader: Reader, tokens: Tokens, beginning: Tokens, forms: Sequence[int], bonus: float, options: DecodingOptions
) -> float:
    total = sum(reader.token_logprobs(tokens)) + gain(tokens, beginning, forms, bonus)
    return float(total / len(tokens) ** options.length_penalty)


@settings(deadline=None, max_examples=120)
@given(st.integers(0, 10_000), constraints(3), st.integers(0, 3), BEGINNINGS, st.tuples(FORMS, FORMS), BONUSES)
def test_wide_beam_equals_brute_force(
    seed: int, given: dict[str, Any], room: int, beginning: Tokens, forms: Any, bonus: float
) -> None:
    longest = len(beginning) + room or 1  # three words: at most 27 live beams, fewer than 50
    given |= {"max_length": longest, "min_length": min(given["min_length"], longest), "length_penalty": 0.0}
    options = DecodingOptions(beam_size=50, num_captions=4, consensus=0, **given)  # a penalty may give up longer ones
    memory = table(2, 7, seed)
    for image, found in enumerate(run(memory, options, beginning, wanted(bonus, *forms))):
        reader, own = Reader(memory[image]), forms[image]
        scores = {s: ranking(reader, s, beginning, own, bonus, options) for s in reader.endings(beginning, options)}
        best = sorted(scores, key=lambda s: (scores[s], s), reverse=True)[:4]
        ended = [h for h in found if h.finished]
        assert [h.tokens for h in ended] == best
        for hypothesis in found:  # the bonus is in none of the numbers that are reported
            assert list(hypothesis.token_logprobs) == pytest.approx(reader.token_logprobs(hypothesis.tokens), abs=1e-5)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 10_000), OPTIONS, BEGINNINGS, st.tuples(FORMS, FORMS, FORMS), BONUSES)
def test_a_batch_gives_what_each_image_gives_alone(
    seed: int, options: DecodingOptions, beginning: Tokens, forms: Any, bonus: float
) -> None:
    beginning = beginning[: options.max_length]
    memory = table(3, 12, seed)
    together = run(memory, options, beginning, wanted(bonus, *forms))
    for image, found in enumerate(together):
        own = None if forms[image] == NONE else wanted(bonus, forms[image])
        [alone] = run(memory[image : image + 1], options, beginning, own)
        assert [h.tokens for h in found] == [h.tokens for h in alone]
        assert [h.token_logprobs for h in found] == [h.token_logprobs for h in alone]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10_000), OPTIONS, BEGINNINGS, FORMS, BONUSES)
def test_what_ended_is_ranked_with_the_bonus(
    seed: int, options: DecodingOptions, beginning: Tokens, forms: tuple[int, ...], bonus: float
) -> None:
    beginning = beginning[: options.max_length]
    memory = table(1, 8, seed)
    [found] = run(memory, options, beginning, wanted(bonus, forms))
    reader = Reader(memory[0])
    ranked = found[options.consensus > 0 :]  # the first one may be in a place of its own
    scores = [ranking(reader, h.tokens, beginning, forms, bonus, options) for h in ranked if h.finished]
    assert scores == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    assert len({h.tokens for h in found}) == len(found)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), OPTIONS, BEGINNINGS)
def test_no_bonus_and_no_word_change_nothing(seed: int, options: DecodingOptions, beginning: Tokens) -> None:
    beginning = beginning[: options.max_length]
    memory = table(2, 9, seed)
    plain = [[h.tokens for h in found] for found in run(memory, options, beginning)]
    for none in (wanted(0.0, (4, 5), (6, -1)), wanted(6.0, NONE, NONE), Wanted(np.empty((2, 0), np.int64), 6.0)):
        assert [[h.tokens for h in found] for found in run(memory, options, beginning, none)] == plain


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), constraints(7), BEGINNINGS, FORMS, BONUSES)
def test_greedy_takes_the_best_token_with_its_bonus(
    seed: int, given: dict[str, Any], beginning: Tokens, forms: tuple[int, ...], bonus: float
) -> None:
    options = DecodingOptions(beam_size=1, **given)
    beginning = beginning[: options.max_length]
    memory = table(1, 9, seed)
    [[best]] = run(memory, options, beginning, wanted(bonus, forms))
    reader = Reader(memory[0])
    for length in range(len(beginning), len(best.tokens)):
        before = best.tokens[:length]
        chances = {
            token: reader.next_logprob(before, token)
            + (bonus if token in forms and set(before).isdisjoint(forms) else 0)
            for token in reader.allowed(before, options)
        }
        assert chances[best.tokens[length]] == pytest.approx(max(chances.values()), abs=1e-5)
    assert list(best.token_logprobs) == pytest.approx(reader.token_logprobs(best.tokens), abs=1e-5)


def certain(*captions: Tokens) -> Any:
    """Return a memory whose image writes captions to their ends, once it has begun with them."""
    memory = np.full((1, STATES, 9), -50.0, dtype=np.float32)
    for caption in captions:
        for history, token in zip(Reader(memory[0]).histories(caption), caption, strict=True):
            memory[0, history, token] = 0.0
    return memory


def test_a_search_waits_for_a_bonus_to_come() -> None:
    """What ends at once is by far the most probable; the word comes later, by a beam that is behind until then."""
    late, end = (4, 4, 5, EOS), (EOS,)
    memory = certain(late, (6, EOS))
    memory[0, Reader(memory[0]).histories(end)[0], [EOS, 4, 6]] = np.log([0.9, 0.02, 0.08])
    options = DecodingOptions(beam_size=2, length_penalty=0)
    assert run(memory, options)[0][0].tokens == end
    assert run(memory, options, wanted=wanted(6.0, (5,)))[0][0].tokens == late


def test_a_beam_is_kept_that_lacks_the_word_behind_one_that_has_it() -> None:
    soon, late = (5, EOS), (6, 7, 5, EOS)
    memory = certain(soon, late)
    first, second = Reader(memory[0]).histories(soon)
    memory[0, first, [5, 6, 8]] = np.log([0.3, 0.35, 0.35])
    memory[0, second, [EOS, 4]] = np.log([0.9, 0.1])
    options = DecodingOptions(beam_size=2, length_penalty=0)
    assert run(memory, options, wanted=wanted(6.0, (5,)))[0][0].tokens == late


def test_a_search_waits_where_longer_is_better_though_totals_are_above_zero() -> None:
    longer = (5, 4, EOS)
    memory = certain(longer)
    memory[0, Reader(memory[0]).histories(longer)[1], EOS] = -5.0
    options = DecodingOptions(beam_size=2, length_penalty=1)
    [[best]] = run(memory, options, wanted=wanted(6.0, (5,)))
    assert best.tokens == longer


def test_a_search_stops_once_nothing_can_gain() -> None:
    memory = table(1, 9, seed=2)
    caption = (5, 6, EOS)
    for history, token in zip(Reader(memory[0]).histories(caption), caption, strict=True):
        memory[:, history, token] = 60.0
    decoder = ToyDecoder()
    [[best]] = search(decoder, memory, 1, SPECIAL, DecodingOptions(), (), wanted(6.0, (6,)))
    assert best.tokens == caption
    assert decoder.steps == len(caption)


def test_sampling_is_left_alone() -> None:
    memory = table(2, 9, seed=1)
    options = DecodingOptions(search="sample", num_captions=3, seed=4)
    plain, given = (run(memory, options, (), one) for one in (None, wanted(8.0, (4, 5), (6, -1))))
    assert [[h.tokens for h in found] for found in plain] == [[h.tokens for h in found] for found in given]


@pytest.mark.parametrize(
    ("tokens", "bonus", "message"),
    [
        ([[4], [5], [6]], 6.0, "wanted words are of 3 images; there are 2"),
        ([4, 5], 6.0, r"wanted tokens are \[2\]; they must be \[images, forms\]"),
        ([[4], [5]], -1.0, "wanted bonus is -1.0; it must be between 0 and 100"),
        ([[4], [5]], math.inf, "wanted bonus is inf; it must be between 0 and 100"),
    ],
)
def test_what_cannot_be_wanted_is_refused(tokens: Any, bonus: float, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        run(table(2, 7, seed=0), DecodingOptions(), (), Wanted(np.array(tokens), bonus))


def reference(reader: Reader, options: DecodingOptions, forms: Sequence[int], bonus: float) -> list[Tokens]:
    """Search one image in groups of beams as plain lists, to the maximum length."""
    width = options.beam_size // options.groups
    groups: list[list[Tokens]] = [[()] for _ in range(options.groups)]
    ended: dict[Tokens, float] = {}

    def total(tokens: Tokens) -> float:
        return sum(reader.token_logprobs(tokens)) + gain(tokens, (), forms, bonus)

    for _ in range(options.max_length + 1):
        taken: list[int] = []
        before, groups = groups, []
        for group in before:
            after = [(*one, token) for one in group for token in reader.allowed(one, options)]
            after.sort(key=lambda one: total(one) - options.diversity * taken.count(one[-1]), reverse=True)
            ended |= {one: total(one) for one in after[: 2 * width] if one[-1] == EOS}
            groups.append([one for one in after[: 2 * width] if one[-1] != EOS][:width])
            taken += [one[-1] for one in groups[-1]]
    return sorted(ended, key=ended.__getitem__, reverse=True)[: options.num_captions]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10_000), st.sampled_from([(2, 1), (4, 1), (4, 2), (6, 3), (5, 5)]), FORMS, BONUSES)
def test_groups_equal_a_slow_reading(seed: int, shape: tuple[int, int], forms: tuple[int, ...], bonus: float) -> None:
    options = DecodingOptions(
        shape[0], 2, 5, 0.0, groups=shape[1], diversity=1.5 if shape[1] > 1 else 0.5, min_length=1, consensus=0
    )
    memory = table(1, 8, seed)
    [found] = run(memory, options, (), wanted(bonus, forms))
    assert [h.tokens for h in found if h.finished] == reference(Reader(memory[0]), options, forms, bonus)
