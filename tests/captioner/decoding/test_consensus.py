"""Which of a search's captions comes first: that which the others agree with."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.decoding import DecodingOptions
from captioner.decoding.consensus import consensus, counts, similarity
from tests.captioner.decoding.test_search import BEAMS, BEGINNINGS, DIVERSE, constraints
from tests.support.toy_decoder import Reader, Tokens, run, table

CAPTIONS = st.lists(st.lists(st.integers(4, 8), max_size=7).map(tuple), min_size=1, max_size=6, unique=True)


def naive_similarity(one: Sequence[int], other: Sequence[int]) -> float:
    """Cosines of vectors with a place for every n-gram that either has."""
    cosines = []
    for size in (1, 2, 3, 4):
        a, b = (Counter(tuple(s[i : i + size]) for i in range(len(s) - size + 1)) for s in (one, other))
        ngrams = sorted({*a, *b})
        u, v = (np.array([c[n] for n in ngrams], dtype=float) for c in (a, b))
        cosines.append(float(u @ v / (np.linalg.norm(u) * np.linalg.norm(v))) if a and b else 0.0)
    return float(np.mean(cosines))


@settings(deadline=None)
@given(CAPTIONS, st.randoms(use_true_random=False), st.sampled_from([0.05, 0.2, 1.0, 10.0]))
def test_it_has_the_highest_expected_similarity(captions: list[Tokens], chance: object, temperature: float) -> None:
    scores = [-chance.uniform(0.5, 4) for _ in captions]  # type: ignore[attr-defined]
    weights = np.exp(np.array(scores) / temperature)
    expected = [
        sum(w * naive_similarity(one, other) for w, other in zip(weights, captions, strict=True)) / weights.sum()
        for one in captions
    ]
    assert expected[consensus(captions, scores, temperature)] == pytest.approx(max(expected))


def test_similarity_is_one_of_equals_and_none_of_strangers() -> None:
    assert similarity(counts((4, 5, 6, 7)), counts((4, 5, 6, 7))) == pytest.approx(1)
    assert similarity(counts((4, 5)), counts((6, 7))) == 0
    assert similarity(counts(()), counts(())) == 0


def test_many_who_agree_outvote_the_likeliest() -> None:
    captions, scores = [(4, 4, 4, 4, 4), (5, 6, 7, 8, 5), (5, 6, 7, 8, 6), (5, 6, 7, 8, 7)], [-1.0, -1.1, -1.1, -1.1]
    assert consensus(captions, scores, 1.0) in (1, 2, 3)
    assert consensus(captions, scores, 0.01) == 0  # where nobody else has a say


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10_000), BEAMS | DIVERSE, constraints(7), BEGINNINGS)
def test_a_search_finds_the_same_captions_and_puts_one_first(
    seed: int, kind: dict[str, object], given: dict[str, object], beginning: Tokens
) -> None:
    options = DecodingOptions(**kind | given)  # type: ignore[arg-type]
    options = replace(options, consensus=1.0, num_captions=options.beam_size)
    beginning = beginning[: options.max_length]
    memory = table(1, 9, seed)
    [voted], [ranked] = (run(memory, replace(options, consensus=vote), beginning) for vote in (1.0, 0.0))
    ended = [h for h in ranked if h.finished]
    place = (
        consensus([h.tokens for h in ended], [Reader(memory[0]).score(h.tokens, options) for h in ended], 1.0)
        if (ended)
        else 0
    )
    assert voted[0].tokens == ranked[place].tokens
    assert [h.tokens for h in voted[1:]] == [h.tokens for number, h in enumerate(ranked) if number != place]


def test_one_caption_is_the_choice_of_all_that_ended() -> None:
    """A search for one caption stops as soon as without a vote, and lets those vote that it has met by then."""
    changed = 0
    for seed in range(60):
        memory = table(1, 9, seed)
        options = DecodingOptions(max_length=7, consensus=10.0)
        [[voted]], [[likeliest]] = run(memory, options), run(memory, replace(options, consensus=0))
        assert voted.finished == likeliest.finished
        changed += voted.tokens != likeliest.tokens
        reader = Reader(memory[0])
        assert reader.score(voted.tokens, options) <= reader.score(likeliest.tokens, options) + 1e-6
    assert changed > 5
