"""What every search promises; greedy and beam search against enumeration."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from captioner.decoding import DecodingOptions, search
from captioner.errors import OptionError
from tests.support.toy_decoder import BOS, EOS, PAD, SPECIAL, STATES, UNK, Reader, Tokens, ToyDecoder, run, table

SEARCHES = {
    "greedy": DecodingOptions(beam_size=1),
    "beam": DecodingOptions(beam_size=3, num_captions=3),
    "diverse": DecodingOptions(beam_size=6, num_captions=5, groups=3),
    "sample": DecodingOptions(search="sample", num_captions=4, seed=5),
}


def constraints(size: int) -> st.SearchStrategy[dict[str, Any]]:
    """Draw the options that every search knows, for captions of at most ``size`` tokens."""
    lengths = st.integers(1, size).flatmap(lambda most: st.tuples(st.just(most), st.integers(0, most)))
    return st.builds(
        lambda lengths, ngram, penalty: {
            "max_length": lengths[0],
            "min_length": lengths[1],
            "no_repeat_ngram_size": ngram,
            "length_penalty": penalty,
        },
        lengths,
        st.sampled_from([0, 0, 1, 2, 3]),
        st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    )


VOTES = st.sampled_from([0.0, 0.2, 5.0])
BEAMS = st.integers(1, 6).flatmap(
    lambda beam: st.fixed_dictionaries(
        {"beam_size": st.just(beam), "num_captions": st.integers(1, beam), "consensus": VOTES}
    )
)
DIVERSE = st.sampled_from([(2, 2), (4, 2), (6, 2), (6, 3), (4, 4)]).flatmap(
    lambda shape: st.fixed_dictionaries(
        {
            "beam_size": st.just(shape[0]),
            "groups": st.just(shape[1]),
            "num_captions": st.integers(1, shape[0]),
            "diversity": st.sampled_from([0.0, 0.5, 4.0]),
            "consensus": VOTES,
        }
    )
)
SAMPLES = st.fixed_dictionaries(
    {
        "search": st.just("sample"),
        "num_captions": st.integers(1, 5),
        "temperature": st.sampled_from([0.3, 1.0, 3.0]),
        "top_k": st.integers(0, 12),
        "top_p": st.sampled_from([0.5, 0.9, 1.0]),
        "seed": st.integers(0, 2**63 - 1),
    }
)
OPTIONS = st.builds(lambda one, two: DecodingOptions(**one, **two), BEAMS | DIVERSE | SAMPLES, constraints(7))
BEGINNINGS = st.lists(st.sampled_from([PAD, UNK, 4, 5, 6]), max_size=4).map(tuple)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), constraints(3), st.integers(0, 3), BEGINNINGS)
@example(0, {"min_length": 0, "no_repeat_ngram_size": 1, "length_penalty": 0.5}, 3, (PAD, PAD, 6))  # words run out
def test_wide_beam_equals_brute_force(seed: int, given: dict[str, Any], room: int, beginning: Tokens) -> None:
    longest = len(beginning) + room or 1  # three words: at most 27 live beams, fewer than 50
    given |= {"max_length": longest, "min_length": min(given["min_length"], longest), "length_penalty": 0.0}
    options = DecodingOptions(beam_size=50, num_captions=4, consensus=0, **given)  # a penalty may give up longer ones
    memory = table(2, 7, seed)
    for image, found in enumerate(run(memory, options, beginning)):
        reader = Reader(memory[image])
        ranked = sorted(((reader.score(s, options), s) for s in reader.endings(beginning, options)), reverse=True)[:4]
        ended = [h for h in found if h.finished]
        assert [h.tokens for h in ended] == [tokens for _, tokens in ranked]
        assert [h.log_prob for h in ended] == pytest.approx([score for score, _ in ranked], abs=1e-4)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10_000), OPTIONS, BEGINNINGS)
def test_log_probs_and_attention_belong_to_the_tokens(seed: int, options: DecodingOptions, beginning: Tokens) -> None:
    beginning = beginning[: options.max_length]
    memory = table(3, 9, seed)
    for image, found in enumerate(run(memory, options, beginning)):
        assert found
        reader = Reader(memory[image])
        for hypothesis in found:
            assert list(hypothesis.token_logprobs) == pytest.approx(reader.token_logprobs(hypothesis.tokens), abs=1e-5)
            assert hypothesis.attention is not None
            assert hypothesis.attention.argmax(axis=1).tolist() == reader.histories(hypothesis.tokens)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10_000), OPTIONS, BEGINNINGS)
def test_hypotheses_are_well_formed(seed: int, options: DecodingOptions, beginning: Tokens) -> None:
    beginning = beginning[: options.max_length]
    memory = table(2, 8, seed)
    for image, found in enumerate(run(memory, options, beginning)):
        reader = Reader(memory[image])
        assert [h.finished for h in found] == sorted((h.finished for h in found), reverse=True)
        voted = options.search == "beam" and options.consensus > 0  # the first one is then in a place of its own
        for finished in (True, False):
            scores = [reader.score(h.tokens, options) for h in found[voted:] if h.finished == finished]
            assert scores == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
        if options.search == "beam":
            assert len({h.tokens for h in found}) == len(found) <= options.num_captions
        else:
            assert len(found) == options.num_captions
        for hypothesis in found:
            tokens = hypothesis.tokens
            assert tokens[: len(beginning)] == beginning
            assert all(
                tokens[length] in reader.allowed(tokens[:length], options)
                for length in range(len(beginning), len(tokens))
            )
            assert hypothesis.finished == (tokens[-1] == EOS)
            assert EOS not in tokens[:-1]
            assert len(tokens) <= options.max_length + 1 if hypothesis.finished else len(tokens) == options.max_length


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), OPTIONS, BEGINNINGS)
@example(53, DecodingOptions(beam_size=6, num_captions=2, max_length=12), ())  # a beam given up stays so beside others
def test_a_batch_gives_what_each_image_gives_alone(seed: int, options: DecodingOptions, beginning: Tokens) -> None:
    beginning = beginning[: options.max_length]
    memory = table(3, 12, seed)
    together = run(memory, options, beginning)
    alone = [run(memory[image : image + 1], options, beginning)[0] for image in range(3)]
    assert [[h.tokens for h in found] for found in together] == [[h.tokens for h in found] for found in alone]


@pytest.mark.parametrize("name", SEARCHES)
def test_a_caption_that_never_ends_is_cut(name: str) -> None:
    memory = table(2, 8, seed=0)
    memory[:, :, EOS] = -math.inf
    for found in run(memory, SEARCHES[name]):
        assert found
        assert not any(h.finished for h in found)
        assert {len(h.tokens) for h in found} == {20}


@pytest.mark.parametrize("name", SEARCHES)
def test_an_empty_caption_is_possible(name: str) -> None:
    memory = table(1, 8, seed=0)
    memory[:, :, EOS] = 50.0
    [[best, *_]] = run(memory, SEARCHES[name])
    assert best.tokens == (EOS,)
    assert best.finished


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("end", [0.0, -math.inf])
def test_a_caption_ends_when_nothing_else_is_left(name: str, end: float) -> None:
    memory = table(2, 7, seed=1)
    memory[:, :, EOS] = end
    beams = {"beam_size": 2, "groups": 2} if name == "diverse" else {"beam_size": 1 + (name == "beam")}
    kind: dict[str, Any] = {"search": "sample"} if name == "sample" else beams
    options = DecodingOptions(min_length=15, no_repeat_ngram_size=1, **kind)
    for [best] in run(memory, options):
        assert sorted(best.tokens) == [EOS, 4, 5, 6]  # each word once
        assert best.finished
        assert math.isfinite(best.log_prob)


@pytest.mark.parametrize("name", SEARCHES)
def test_search_stops_as_soon_as_it_may(name: str) -> None:
    memory = table(3, 9, seed=2)
    caption = (5, 6, EOS)
    for history, token in zip(Reader(memory[0]).histories(caption), caption, strict=True):
        memory[:, history, token] = 60.0
    decoder = ToyDecoder()
    found = search(decoder, memory, 3, SPECIAL, replace(SEARCHES[name], num_captions=1))
    assert [best.tokens for [best] in found] == [caption] * 3
    assert decoder.steps == len(caption)


def test_beam_search_is_at_least_as_likely_as_greedy() -> None:
    memory = table(50, 12, seed=3)
    greedy = run(memory, DecodingOptions(beam_size=1, max_length=6))
    beams = run(memory, DecodingOptions(beam_size=5, max_length=6, length_penalty=0, consensus=0))
    better = [b[0].log_prob >= g[0].log_prob - 1e-5 for g, b in zip(greedy, beams, strict=True) if g[0].finished]
    assert sum(better) / len(better) > 0.9  # a beam may lose the greedy path, but seldom


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), constraints(7), BEGINNINGS)
def test_greedy_takes_the_best_token_at_every_step(seed: int, given: dict[str, Any], beginning: Tokens) -> None:
    options = DecodingOptions(beam_size=1, **given)
    beginning = beginning[: options.max_length]
    memory = table(3, 9, seed)
    for image, [best] in enumerate(run(memory, options, beginning)):
        reader = Reader(memory[image])
        for length in range(len(beginning), len(best.tokens)):
            before = best.tokens[:length]
            chances = {token: reader.next_logprob(before, token) for token in reader.allowed(before, options)}
            assert chances[best.tokens[length]] == pytest.approx(max(chances.values()), abs=1e-5)


@pytest.mark.parametrize("name", SEARCHES)
def test_attention_is_none_without_attention(name: str) -> None:
    class Blind(ToyDecoder):
        def step(self, tokens, memory, state):  # type: ignore[no-untyped-def]
            step = super().step(tokens, memory, state)
            return type(step)(step.log_probs, None, step.state)

    memory = table(2, 8, seed=4)
    found = search(Blind(), memory, 2, SPECIAL, SEARCHES[name], (4,))
    seeing = run(memory, SEARCHES[name], (4,))
    assert all(h.attention is None for image in found for h in image)
    assert [[h.tokens for h in image] for image in found] == [[h.tokens for h in image] for image in seeing]


def test_a_beginning_as_long_as_allowed_leaves_only_the_end() -> None:
    memory = table(1, 7, seed=1)
    for name, options in SEARCHES.items():
        beginning = (4, 5) * 10
        for hypothesis in run(memory, options, beginning)[0]:
            assert hypothesis.tokens in (beginning, (*beginning, EOS)), name


@pytest.mark.parametrize(
    ("options", "beginning", "message"),
    [
        (DecodingOptions(max_length=2), (4, 5, 6), "beginning is 3 tokens long; it must be at most 2"),
        (DecodingOptions(beginning="..."), (), "beginning is '...'; it must have at least one token"),
        (DecodingOptions(), (4, EOS), r"beginning is \[4, 2\]; it must be without <END>"),
    ],
)
def test_impossible_beginnings_are_refused(options: DecodingOptions, beginning: Tokens, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        run(table(1, 7, seed=0), options, beginning)
    assert BOS not in beginning


def test_the_toy_tells_histories_apart() -> None:
    """Brute force means little if sequences share their scores."""
    reader = Reader(table(1, 7, seed=0)[0])
    sequences = list(reader.endings((), DecodingOptions(max_length=3)))
    assert len(sequences) == 1 + 3 + 9 + 27
    assert len({reader.histories(s)[-1] for s in sequences}) > 30
    assert 2 * len(sequences) < STATES
    assert np.isfinite(reader.token_logprobs((4, 5, EOS))).all()


@pytest.mark.parametrize(("name", "slots"), [("greedy", 1), ("beam", 3), ("diverse", 6), ("sample", 4)])
def test_images_leave_when_they_are_done(name: str, slots: int) -> None:
    memory = table(3, 8, seed=0)
    memory[:, :, EOS] = -math.inf
    memory[1, :, EOS] = 50.0  # says nothing, and is sure of it
    decoder = ToyDecoder()
    options = replace(SEARCHES[name], num_captions=1 if name != "sample" else slots)
    found = search(decoder, memory, 3, SPECIAL, options)
    assert found[1][0].tokens == (EOS,)
    assert [len(found[image][0].tokens) for image in (0, 2)] == [20, 20]
    assert set(decoder.rows[1:]) == {2 * slots}


def test_beams_leave_that_can_win_no_more() -> None:
    """Two first words share nearly all; the first ends with 0.3, the second can still reach 0.33, and all else less."""
    memory = np.full((1, STATES, 8), -10, dtype=np.float32)
    start, first, second, last = (history_of(*words) for words in ((), (4,), (5,), (5, 6)))
    memory[0, start, 4:8] = np.log([0.6, 0.35, 0.03, 0.02])
    memory[0, first, [EOS, 4, 5, 6]] = np.log([0.5, 0.2, 0.2, 0.1])
    memory[0, second, 6] = memory[0, last, EOS] = 0.0
    decoder = ToyDecoder()
    options = DecodingOptions(beam_size=4, length_penalty=0)
    [[best]] = search(decoder, memory, 1, SPECIAL, options)
    assert best.tokens == (5, 6, EOS)
    assert decoder.rows == [1, 4, 1]


def history_of(*words: int) -> int:
    return Reader(np.zeros((STATES, 8), dtype=np.float32)).histories((*words, EOS))[-1]
