"""Diverse beam search against a slow reading of the paper."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from captioner.decoding import DecodingOptions, search
from captioner.decoding.beam import best_of
from captioner.decoding.rows import IMPOSSIBLE
from tests.support.toy_decoder import EOS, SPECIAL, STATES, Reader, Tokens, ToyDecoder, run, table

Scored = list[tuple[float, Tokens]]


def reference(reader: Reader, options: DecodingOptions, beginning: Tokens) -> tuple[list[Tokens], int]:
    """Search one image with every group's beams as plain lists, until none of them can enter soon.

    Returns the captions, and how many tokens were read.
    """
    width = options.beam_size // options.groups
    groups: list[Scored] = [[(sum(reader.token_logprobs(beginning)), beginning)] for _ in range(options.groups)]
    ended: dict[Tokens, float] = {}
    for length in range(len(beginning), options.max_length + 1):
        taken: Counter[int] = Counter()
        after = []
        for group in groups:
            best = advance(reader, options, group, taken)[: 2 * width]
            ended |= {tokens: log_prob for log_prob, tokens in best if tokens[-1] == EOS}
            live = [(log_prob, tokens) for log_prob, tokens in best if tokens[-1] != EOS][:width]
            taken.update(tokens[-1] for _, tokens in live)
            after.append(live)
        if length == options.max_length:
            break
        groups = after
        kept = sorted((reader.score(tokens, options) for tokens in ended), reverse=True)[: options.num_captions]
        if len(kept) == options.num_captions:
            soon = min(length + 1 + options.lookahead, options.max_length + 1)
            open_ = [[beam for beam in group if options.score(beam[0], soon) > kept[-1]] for group in groups]
            if not any(open_):
                break
            groups = groups if options.groups > 1 else open_
    ranked = sorted(((reader.score(tokens, options), tokens) for tokens in ended), reverse=True)
    cut = sorted({entry for group in groups for entry in group}, reverse=True)
    return [tokens for _, tokens in [*ranked[: options.num_captions], *cut][: options.num_captions]], length + 1


def advance(reader: Reader, options: DecodingOptions, group: Scored, taken: Counter[int]) -> Scored:
    """Return the candidates of a group, in the order in which it prefers them."""
    candidates = []
    for log_prob, tokens in group:
        for token in reader.allowed(tokens, options):
            extended = log_prob + reader.next_logprob(tokens, token)
            candidates.append((extended - options.diversity * taken[token], extended, (*tokens, token)))
    return [(log_prob, tokens) for _, log_prob, tokens in sorted(candidates, reverse=True)]


SHAPES = [(2, 1), (4, 1), (2, 2), (4, 2), (6, 2), (6, 3), (5, 5), (12, 3)]
RULES = st.builds(
    lambda shape, captions, diversity, length, least, ngram, penalty: DecodingOptions(
        beam_size=shape[0],
        groups=shape[1],
        num_captions=min(captions, shape[0]),
        diversity=diversity if shape[1] > 1 else 0.5,
        max_length=length,
        min_length=min(least, length),
        no_repeat_ngram_size=ngram,
        length_penalty=penalty,
        consensus=0.0,
    ),
    st.sampled_from(SHAPES),
    st.integers(1, 12),
    st.sampled_from([0.1, 0.5, 2.0, 10.0]),
    st.integers(1, 6),
    st.integers(0, 6),
    st.sampled_from([0, 0, 1, 2]),
    st.sampled_from([0.0, 0.5, 1.5]),
)

# Its first group runs out of words, which must not keep words from the second.
DEAD_END = DecodingOptions(2, 2, 8, groups=2, diversity=10, min_length=6, no_repeat_ngram_size=2, consensus=0)


@settings(deadline=None, max_examples=120)
@given(
    seed=st.integers(0, 10_000),
    vocabulary=st.sampled_from([6, 9]),  # two words soon run out
    options=RULES,
    beginning=st.sampled_from([(), (4,), (5, 5)]),
)
@example(64, 7, DEAD_END, ())
def test_diverse_beam_search_equals_the_reference(
    seed: int, vocabulary: int, options: DecodingOptions, beginning: Tokens
) -> None:
    beginning = beginning[: options.max_length]
    memory = table(2, vocabulary, seed)
    for image, found in enumerate(run(memory, options, beginning)):
        expected, steps = reference(Reader(memory[image]), options, beginning)
        assert [h.tokens for h in found] == expected
        decoder = ToyDecoder()
        search(decoder, memory[image : image + 1], 1, SPECIAL, options, beginning)
        assert decoder.steps == steps


@pytest.mark.parametrize(("penalty", "tokens"), [(0.0, 1), (0.3, 1), (0.5, 1), (0.6, 2), (1.0, 2), (1.1, 3), (2.0, 4)])
def test_the_search_looks_further_ahead_where_length_counts_for_more(penalty: float, tokens: int) -> None:
    assert DecodingOptions(length_penalty=penalty).lookahead == tokens


@pytest.mark.parametrize(("penalty", "longer"), [(0.0, False), (0.3, False), (0.9, True)])
def test_a_beam_that_would_not_enter_by_ending_next_is_given_up(penalty: float, longer: bool) -> None:
    """One caption ends at once, by 0.5; the other starts by 0.4, and ends for certain as the sixth token.

    Two tokens of 0.4 are worth more than one of 0.5 where log 0.4 / 2 ** a > log 0.5, that is from a = 0.41; six are
    from a = 0.16, but with a = 0.3 the beam is given up before it is as long.
    """
    memory = np.full((1, STATES, 7), -50.0, dtype=np.float32)
    long = (5, 6, 5, 6, 5, EOS)
    for history, token in zip(Reader(memory[0]).histories(long), long, strict=True):
        memory[0, history, token] = 0.0
    memory[0, Reader(memory[0]).histories((EOS,))[0], [EOS, 4, 5]] = np.log([0.5, 0.1, 0.4])
    decoder = ToyDecoder()
    [[best]] = search(decoder, memory, 1, SPECIAL, DecodingOptions(beam_size=2, length_penalty=penalty))
    assert best.tokens == (long if longer else (EOS,))
    assert decoder.steps == (len(long) if longer else 1)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), width=st.integers(2, 4), groups=st.integers(2, 4))
def test_groups_without_diversity_are_all_the_same(seed: int, width: int, groups: int) -> None:
    memory = table(2, 9, seed)
    common: dict[str, Any] = {"num_captions": width, "max_length": 5, "consensus": 0.0}
    one = run(memory, DecodingOptions(beam_size=width, **common))
    wide = DecodingOptions(beam_size=width * groups, groups=groups, diversity=0, **common)
    assert [[h.tokens for h in found] for found in run(memory, wide)] == [[h.tokens for h in found] for found in one]


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_diverse_captions_differ_more(groups: int) -> None:
    memory = table(40, 20, seed=1)
    plain = DecodingOptions(beam_size=6, num_captions=6, max_length=6)
    first_words = [
        sum(len({h.tokens[0] for h in found}) for found in run(memory, options))
        for options in (plain, replace(plain, groups=groups, diversity=4))
    ]
    assert first_words[1] > 1.05 * first_words[0]


def test_first_words_differ_where_every_group_has_one_beam() -> None:
    memory = table(10, 12, seed=4)
    memory[:, :, EOS] = -20.0
    options = DecodingOptions(beam_size=5, groups=5, diversity=10, num_captions=5, max_length=4)
    for found in run(memory, options):
        assert len({h.tokens[0] for h in found}) == 5


def test_search_waits_for_the_best_beam_of_any_group() -> None:
    memory = np.full((1, STATES, 6), -50.0, dtype=np.float32)
    reader = Reader(memory[0])
    start, trap, good, done = (*reader.histories((4, 5)), reader.histories((5, 5))[1], reader.histories((5, 5, EOS))[2])
    memory[0, start, [4, 5]] = np.log([0.55, 0.45])
    memory[0, trap, [EOS, 4]] = np.log([0.7, 0.3])
    memory[0, good, [EOS, 5]] = np.log([0.01, 0.99])
    memory[0, done, EOS] = 0.0
    options = DecodingOptions(beam_size=2, groups=2, diversity=10, max_length=3, length_penalty=0)
    [[best]] = run(memory, options)
    assert best.tokens == (5, 5, EOS)


@pytest.mark.parametrize("count", [1, 7, 64])
@pytest.mark.parametrize("size", [64, 65, 1000, 12_700])
@pytest.mark.parametrize("levels", [3, 1_000_000])
def test_the_best_are_those_of_a_stable_sort(size: int, count: int, levels: int) -> None:
    values = np.random.default_rng(size).integers(0, levels, (3, size)).astype(np.float32)
    values[1, ::2] = IMPOSSIBLE
    assert np.array_equal(best_of(values, count), np.argsort(-values, axis=1, kind="stable")[:, :count])
