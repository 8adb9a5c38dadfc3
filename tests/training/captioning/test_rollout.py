"""Captions that a decoder writes while it learns, against search and scoring."""

import pytest
import torch

from captioner.config import DecoderConfig
from captioner.decoders import DECODERS
from captioner.decoding import DecodingOptions, SpecialTokens, search
from captioner.decoding.score import score
from captioner.runtimes.torch import TorchSteps
from captioner.types import Features
from training.captioning.rollout import Writer

V, P, D, IMAGES, LONGEST = 9, 5, 4, 3, 6
SPECIAL = SpecialTokens(bos_id=1, eos_id=2, banned=(0, 1, 3))


@pytest.fixture(params=list(DECODERS))
def writer(request: pytest.FixtureRequest) -> Writer:
    torch.manual_seed(0)
    config = DecoderConfig(request.param, embedding_size=6, hidden_size=7, attention_size=5, dropout=0.5)
    decoder = DECODERS[request.param](config, P, D, V).eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return Writer(decoder, SPECIAL, LONGEST)


def features() -> Features:
    generator = torch.Generator().manual_seed(3)
    return Features(torch.randn(IMAGES, P, generator=generator), torch.randn(IMAGES, 4, D, generator=generator), 2, 2)


def test_greedy_equals_search(writer: Writer) -> None:
    memory = writer.decoder.prepare(features())
    found = search(
        TorchSteps(writer.decoder), memory, IMAGES, SPECIAL, DecodingOptions(beam_size=1, max_length=LONGEST)
    )
    writer.decoder.train()  # whose dropout greedy search leaves out
    for caption, [hypothesis] in zip(writer.greedy(features(), IMAGES).captions(), found, strict=True):
        assert caption[:LONGEST] == list(hypothesis.tokens)[:LONGEST]


def test_log_probs_are_those_of_the_tokens(writer: Writer) -> None:
    memory = writer.decoder.prepare(features())
    rollout = writer.sample(memory, IMAGES, each=4)
    for row, caption in enumerate(rollout.captions()):
        image = row // 4
        body = caption[:-1] if caption[-1] == SPECIAL.eos_id else caption
        rows = [body if other == image else [] for other in range(IMAGES)]
        expected = score(TorchSteps(writer.decoder), memory, rows, SPECIAL)[image].token_logprobs
        own = rollout.log_probs[row, : len(caption)].tolist()
        gap = torch.tensor(own) - torch.tensor(expected[: len(caption)])
        assert bool((gap >= -1e-4).all())  # banned tokens take no share, so that the others are at least as likely
        assert not rollout.log_probs[row, len(caption) :].any()
        assert not set(caption) & set(SPECIAL.banned)
        assert SPECIAL.eos_id not in caption[:-1]
        assert len(caption) <= LONGEST + 1


def test_beams_are_those_of_search_with_their_log_probs(writer: Writer) -> None:
    memory = writer.decoder.prepare(features())
    writer.decoder.train()
    for module in writer.decoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    rollout = writer.beam(features(), memory, IMAGES, each=3)
    assert writer.decoder.training
    assert rollout.log_probs.requires_grad
    options = DecodingOptions(beam_size=3, num_captions=3, max_length=LONGEST, consensus=0)
    found = search(TorchSteps(writer.decoder.eval()), memory, IMAGES, SPECIAL, options)
    captions = rollout.captions()
    for image, hypotheses in enumerate(found):
        for row, hypothesis in enumerate(hypotheses):
            assert captions[3 * image + row] == list(hypothesis.tokens)
            own = rollout.log_probs[3 * image + row, : len(hypothesis.tokens)].tolist()
            assert own == pytest.approx(hypothesis.token_logprobs, abs=1e-4)
            assert not rollout.log_probs[3 * image + row, len(hypothesis.tokens) :].any()


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_samples_follow_the_probabilities(writer: Writer, temperature: float) -> None:
    torch.manual_seed(1)
    memory = writer.decoder.prepare(features())
    rollout = writer.sample(memory, IMAGES, 4000, temperature)
    first = rollout.tokens[:, 0].view(IMAGES, -1)
    state = writer.decoder.begin(memory)
    logits = writer.decoder.step(torch.full((IMAGES,), SPECIAL.bos_id), memory, state).logits
    logits[:, list(SPECIAL.banned)] = -1e9
    for image, expected in enumerate((logits / temperature).softmax(dim=1)):
        found = torch.bincount(first[image], minlength=V) / 4000
        assert bool((found - expected).abs().max() < 0.04)  # five standard deviations
        own = rollout.log_probs.view(IMAGES, 4000, -1)[image, :, 0]
        torch.testing.assert_close(own.exp(), expected[first[image]])


def test_gradients_flow_through_what_was_sampled(writer: Writer) -> None:
    writer.decoder.train()
    rollout = writer.sample(writer.decoder.prepare(features()), IMAGES, each=2)
    rollout.log_probs.sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in writer.decoder.parameters())
    assert not writer.greedy(features(), IMAGES).log_probs.requires_grad
    assert writer.decoder.training
