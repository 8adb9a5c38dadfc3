"""Search against brute force, on a decoder small enough to enumerate."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from captioner.decoding import DecodingOptions, SpecialTokens, search
from captioner.errors import OptionError
from captioner.types import DecoderStep, Features, Hypothesis

PAD, BOS, EOS, UNK = range(4)
SPECIAL = SpecialTokens(BOS, EOS, banned=(PAD, BOS, UNK))
STATES = 31


@dataclass(frozen=True)
class ToyState:
    """A row's history as one number."""

    history: Tensor

    def select(self, rows: Tensor) -> "ToyState":
        return ToyState(self.history[rows])


class ToyDecoder:
    """A decoder whose logits are looked up in a random table, by image and by what was read so far."""

    device = torch.device("cpu")

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def prepare(self, features: Features) -> Tensor:
        return features.grid

    def begin(self, memory: Tensor, rows_per_image: int = 1) -> ToyState:
        return ToyState(torch.zeros(len(memory) * rows_per_image, dtype=torch.long))

    def step(self, tokens: Tensor, memory: Tensor, state: ToyState) -> DecoderStep[ToyState]:
        history = (state.history * self.vocabulary + tokens + 1) % STATES
        image = torch.arange(len(tokens)) // (len(tokens) // len(memory))
        attention = torch.nn.functional.one_hot(history, STATES).float()  # tells which history was looked at
        return DecoderStep(memory[image, history], attention, ToyState(history))


def table(images: int, vocabulary: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(images, STATES, vocabulary, generator=generator)


def log_probs(decoder: ToyDecoder, memory: Tensor, tokens: tuple[int, ...]) -> list[float]:
    """Step through one sequence of one image by hand."""
    state, previous, found = decoder.begin(memory), BOS, []
    for token in tokens:
        step = decoder.step(torch.tensor([previous]), memory, state)
        found.append(float(step.logits[0].log_softmax(0)[token]))
        state, previous = step.state, token
    return found


def brute_force(decoder: ToyDecoder, memory: Tensor, options: DecodingOptions) -> list[tuple[float, tuple[int, ...]]]:
    """Rank every sequence of at most ``max_length`` words that ends."""
    words = range(4, decoder.vocabulary)
    sequences = [
        (*body, EOS) for length in range(options.max_length + 1) for body in itertools.product(words, repeat=length)
    ]
    scored = [(sum(log_probs(decoder, memory, s)) / len(s) ** options.length_penalty, s) for s in sequences]
    return sorted(scored, reverse=True)


def run(memory: Tensor, vocabulary: int, options: DecodingOptions) -> list[list[Hypothesis]]:
    return search(ToyDecoder(vocabulary), memory, len(memory), SPECIAL, options)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), penalty=st.sampled_from([0.0, 0.5, 1.0]), length=st.integers(1, 3))
def test_wide_beam_equals_brute_force(seed: int, penalty: float, length: int) -> None:
    vocabulary = 7  # three words: at most 27 live beams, fewer than 50
    memory = table(2, vocabulary, seed)
    options = DecodingOptions(beam_size=50, num_captions=4, max_length=length, length_penalty=penalty)
    for image, found in enumerate(run(memory, vocabulary, options)):
        expected = brute_force(ToyDecoder(vocabulary), memory[image : image + 1], options)[:4]
        assert [h.tokens for h in found] == [tokens for _, tokens in expected]
        scores = [h.log_prob / len(h.tokens) ** penalty for h in found]
        assert scores == pytest.approx([score for score, _ in expected], abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), beam=st.integers(1, 5), length=st.integers(1, 8))
def test_log_probs_and_attention_belong_to_the_tokens(seed: int, beam: int, length: int) -> None:
    memory = table(3, 9, seed)
    decoder = ToyDecoder(9)
    options = DecodingOptions(beam_size=beam, num_captions=beam, max_length=length)
    for image, found in enumerate(run(memory, 9, options)):
        assert found
        for hypothesis in found:
            alone = memory[image : image + 1]
            assert list(hypothesis.token_logprobs) == pytest.approx(
                log_probs(decoder, alone, hypothesis.tokens), abs=1e-5
            )
            histories, history = [], 0
            for token in (BOS, *hypothesis.tokens[:-1]):
                history = (history * 9 + token + 1) % STATES
                histories.append(history)
            assert hypothesis.attention is not None
            assert hypothesis.attention.argmax(dim=1).tolist() == histories


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), beam=st.integers(1, 5))
def test_a_batch_gives_what_each_image_gives_alone(seed: int, beam: int) -> None:
    memory = table(4, 12, seed)
    options = DecodingOptions(beam_size=beam, num_captions=beam, max_length=6)
    together = run(memory, 12, options)
    alone = [run(memory[image : image + 1], 12, options)[0] for image in range(4)]
    assert [[h.tokens for h in found] for found in together] == [[h.tokens for h in found] for found in alone]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), beam=st.integers(1, 6), length=st.integers(1, 6))
def test_hypotheses_are_well_formed(seed: int, beam: int, length: int) -> None:
    for found in run(table(2, 10, seed), 10, DecodingOptions(beam_size=beam, num_captions=beam, max_length=length)):
        assert len({h.tokens for h in found}) == len(found)
        assert [h.finished for h in found] == sorted((h.finished for h in found), reverse=True)
        for hypothesis in found:
            assert not set(hypothesis.tokens) & {PAD, BOS, UNK}
            assert hypothesis.finished == (hypothesis.tokens[-1] == EOS)
            assert EOS not in hypothesis.tokens[:-1]
            assert len(hypothesis.tokens) <= length + hypothesis.finished
            assert len(hypothesis.tokens) == len(hypothesis.token_logprobs)
        ended = [h.log_prob / len(h.tokens) ** 0.5 for h in found if h.finished]
        assert ended == sorted(ended, reverse=True)


@pytest.mark.parametrize("beam", [1, 3])
def test_a_caption_that_never_ends_is_cut(beam: int) -> None:
    memory = table(2, 8, seed=0)
    memory[:, :, EOS] = -math.inf
    for found in run(memory, 8, DecodingOptions(beam_size=beam, max_length=5)):
        assert not found[0].finished
        assert len(found[0].tokens) == 5


@pytest.mark.parametrize("beam", [1, 3])
def test_an_empty_caption_is_possible(beam: int) -> None:
    memory = table(1, 8, seed=0)
    memory[:, :, EOS] = 50.0
    [[best]] = run(memory, 8, DecodingOptions(beam_size=beam))
    assert best.tokens == (EOS,)
    assert best.finished


def test_beam_search_is_at_least_as_likely_as_greedy() -> None:
    memory = table(50, 12, seed=3)
    greedy = run(memory, 12, DecodingOptions(beam_size=1, max_length=6))
    beams = run(memory, 12, DecodingOptions(beam_size=5, max_length=6, length_penalty=0))
    better = [b[0].log_prob >= g[0].log_prob - 1e-5 for g, b in zip(greedy, beams, strict=True) if g[0].finished]
    assert sum(better) / len(better) > 0.9  # a beam may lose the greedy path, but seldom


def test_greedy_takes_the_best_token_at_every_step() -> None:
    memory = table(3, 9, seed=5)
    decoder = ToyDecoder(9)
    for image, [best] in enumerate(run(memory, 9, DecodingOptions(beam_size=1, max_length=7))):
        alone = memory[image : image + 1]
        for position, token in enumerate(best.tokens):
            choices = [log_probs(decoder, alone, (*best.tokens[:position], other))[-1] for other in (EOS, *range(4, 9))]
            assert math.isclose(best.token_logprobs[position], max(choices), abs_tol=1e-5)
            assert (EOS, *range(4, 9))[choices.index(max(choices))] == token


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size is 0; it must be between 1 and 50"),
        ({"beam_size": 3, "num_captions": 4}, "num_captions is 4; it must be between 1 and 3"),
        ({"max_length": 101}, "max_length is 101; it must be between 1 and 100"),
        ({"length_penalty": -1}, "length_penalty is -1; it must be between 0 and 2"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message.replace("(", r"\(")):
        DecodingOptions(**options)
