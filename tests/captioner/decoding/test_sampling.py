"""Sampling against the distribution that it draws from."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from captioner.decoding import DecodingOptions
from captioner.decoding.rows import IMPOSSIBLE
from captioner.decoding.sampling import Sampler, probabilities
from captioner.types import FloatArray, Hypothesis
from tests.support.toy_decoder import EOS, Reader, Tokens, log_softmax, run, table

DRAWS = 80  # searches of 50 samples each
KINDS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.5},
    {"temperature": 4.0},
    {"top_k": 2},
    {"top_p": 0.8},
    {"temperature": 2.0, "top_k": 3, "top_p": 0.7},
    {"min_length": 1, "no_repeat_ngram_size": 1},
]
NARROWEST: list[dict[str, Any]] = [{"temperature": 5e-324}, {"temperature": 1e-5}, {"top_k": 1}, {"top_p": 1e-9}]


def distribution(log_probs: NDArray[np.float64], options: DecodingOptions) -> NDArray[np.float64]:
    """Return what is drawn from, one token after the other; impossible tokens have log-probability -inf."""
    chances = np.exp((log_probs - log_probs.max()) / options.temperature)
    order = sorted(range(len(chances)), key=lambda token: -chances[token])
    if options.top_k:
        chances[order[options.top_k :]] = 0
    chances /= chances.sum()
    held = 0.0
    for token in order:
        if held >= options.top_p:
            chances[token] = 0
        held += chances[token]
    shares: NDArray[np.float64] = chances / chances.sum()
    return shares


def sequences(
    reader: Reader, options: DecodingOptions, tokens: Tokens = (), chance: float = 1.0
) -> dict[Tokens, float]:
    """Return the probability with which each caption is drawn."""
    log_probs = np.full(reader.vocabulary, -np.inf)
    for token in reader.allowed(tokens, options):
        log_probs[token] = reader.next_logprob(tokens, token)
    found = {}
    for token, share in enumerate(distribution(log_probs, options)):
        extended = (*tokens, token)
        if token == EOS:
            found[extended] = chance * share
        elif len(tokens) == options.max_length:
            found[tokens] = found.get(tokens, 0) + chance * share  # cut
        elif share:
            found |= sequences(reader, options, extended, chance * share)
    return found


def noise(seed: int, *shape: int) -> FloatArray:
    """Return log-probabilities of random logits."""
    return log_softmax(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def sample(seed: int | None, **given: Any) -> DecodingOptions:
    return DecodingOptions(search="sample", seed=seed, **given)


def tokens_of(found: list[list[Hypothesis]]) -> list[list[Tokens]]:
    return [[h.tokens for h in image] for image in found]


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    temperature=st.sampled_from([0.01, 0.5, 1.0, 10.0]),
    top_k=st.integers(0, 12),
    top_p=st.floats(0.01, 1.0),
)
def test_probabilities_are_those_of_numpy(seed: int, temperature: float, top_k: int, top_p: float) -> None:
    log_probs = noise(seed, 2, 3, 10)
    options = sample(None, temperature=temperature, top_k=top_k, top_p=top_p)
    found = probabilities(log_probs, options).reshape(6, 10)
    for row, expected in zip(found, log_probs.reshape(6, 10).astype(np.float64), strict=True):
        assert (row / row.sum()) == pytest.approx(distribution(expected, options), abs=1e-9)


def test_top_p_is_the_smallest_set_that_reaches_it() -> None:
    log_probs = np.log(np.array([0.125, 0.5, 0.25, 0.125], dtype=np.float32))
    for top_p, kept in [(0.4, [1]), (0.5, [1]), (0.51, [1, 2]), (0.75, [1, 2]), (1e-12, [1]), (0.99, [0, 1, 2, 3])]:
        assert probabilities(log_probs, sample(0, top_p=top_p)).nonzero()[0].tolist() == kept


def test_top_p_that_is_reached_exactly_takes_no_more() -> None:
    assert np.count_nonzero(probabilities(np.log(np.array([0.5, 0.5], dtype=np.float32)), sample(0, top_p=0.5))) == 1


@pytest.mark.parametrize(("chance", "token"), [(0.0, 1), (np.nextafter(np.float32(1), np.float32(0)), 4)])
def test_no_number_draws_an_impossible_token(chance: float, token: int) -> None:
    sampler = Sampler(sample(0, num_captions=2), batch_size=1)
    sampler._chance.fill(chance)
    for seed in range(50):
        log_probs = noise(seed, 1, 2, 6)
        log_probs[:, :, [0, 5]] = IMPOSSIBLE
        assert sampler(log_probs, 3).tolist() == [[token, token]]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_captions_are_drawn_as_often_as_they_are_probable(kind: dict[str, Any]) -> None:
    memory = table(1, 7, seed=11, spread=1)
    counts: Counter[Tokens] = Counter()
    for seed in range(DRAWS):
        counts.update(tokens_of(run(memory, sample(seed, num_captions=50, max_length=2, **kind)))[0])
    expected = sequences(Reader(memory[0]), sample(0, max_length=2, **kind))
    assert sum(expected.values()) == pytest.approx(1)
    assert set(counts) <= {tokens for tokens, chance in expected.items() if chance > 0}
    often = {tokens: 50 * DRAWS * chance for tokens, chance in expected.items() if 50 * DRAWS * chance >= 5}
    assert len(often) > 2
    distance = sum((counts[tokens] - mean) ** 2 / mean for tokens, mean in often.items())
    assert distance < len(often) + 4 * math.sqrt(2 * len(often))  # chi-square: mean n, variance 2n


def test_without_a_seed_every_image_and_every_call_draws_anew() -> None:
    memory = np.repeat(table(1, 12, seed=0), 8, axis=0)
    options = sample(None, num_captions=5)
    first, second = tokens_of(run(memory, options)), tokens_of(run(memory, options))
    assert first != second
    assert any(image != first[0] for image in first)


def test_a_seed_gives_the_same_samples_again() -> None:
    memory = np.repeat(table(1, 12, seed=0), 3, axis=0)
    options = sample(2**63 - 1, num_captions=5)
    first, second = run(memory, options), run(memory, options)
    assert first[0][0].token_logprobs == second[0][0].token_logprobs
    assert tokens_of(first) == tokens_of(second)
    assert tokens_of(first)[0] == tokens_of(first)[1] == tokens_of(first)[2]  # equal images, equal samples
    assert len(set(tokens_of(first)[0])) > 1
    other = tokens_of(run(memory, replace(options, seed=2**62)))
    assert other != tokens_of(first)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**63 - 1), few=st.integers(1, 5), more=st.integers(0, 5), short=st.integers(1, 5))
def test_more_or_longer_samples_keep_what_there_was(seed: int, few: int, more: int, short: int) -> None:
    memory = table(2, 12, seed % 1000)
    small = tokens_of(run(memory, sample(seed, num_captions=few, max_length=short)))
    large = tokens_of(run(memory, sample(seed, num_captions=few + more, max_length=short + 3)))
    for before, after in zip(small, large, strict=True):
        shortened = Counter(tokens if EOS in tokens[: short + 1] else tokens[:short] for tokens in after)
        assert Counter(before) <= shortened


@pytest.mark.parametrize(
    "kind", [{"temperature": 5e-324}, {"temperature": 1e-5}, {"top_k": 1}, {"top_p": 1e-9}], ids=str
)
@pytest.mark.parametrize("rules", [{}, {"min_length": 4, "no_repeat_ngram_size": 2, "max_length": 8}], ids=str)
def test_the_narrowest_sampling_is_greedy_search(kind: dict[str, Any], rules: dict[str, Any]) -> None:
    memory = table(20, 12, seed=8)
    [greedy, drawn] = [
        tokens_of(run(memory, options, (4,)))
        for options in (DecodingOptions(beam_size=1, **rules), sample(3, num_captions=3, **kind, **rules))
    ]
    assert drawn == [3 * best for best in greedy]


def test_samples_are_independent_of_each_other() -> None:
    memory = table(1, 7, seed=0)
    memory[:, :, EOS] = 50.0  # one caption has nearly all the probability
    [found] = run(memory, sample(0, num_captions=6))
    assert [h.tokens for h in found] == [(EOS,)] * 6
