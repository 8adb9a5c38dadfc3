"""The loss and the schedule against their equations."""

import itertools

import numpy as np
import pytest
import torch

from captioner.decoding import SpecialTokens
from training.losses import attention_penalty, cross_entropy, mean_of_others, scheduled_inputs, self_critical
from training.runs.optim import one_cycle


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_equals_its_equation(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, pad, vocabulary = torch.randn(3, 4, 6), 0, 6
    targets = torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0], [1, 1, 1, 1]])
    losses = []
    for row in range(3):
        for t in range(4):
            if (target := int(targets[row, t])) == pad:
                continue
            scores = logits[row, t].double().numpy()
            log_p = scores - np.log(np.exp(scores).sum())
            q = np.full(vocabulary, smoothing / vocabulary)
            q[target] += 1 - smoothing
            losses.append(-(q * log_p).sum())
    assert float(cross_entropy(logits, targets, pad, smoothing)) == pytest.approx(np.mean(losses), abs=1e-5)


def test_one_cycle_climbs_to_the_peak_and_falls_to_zero() -> None:
    rates = [one_cycle(step, 1000, 0.1) for step in range(1000)]
    peak = int(np.argmax(rates))
    assert peak == 100
    assert rates[peak] == pytest.approx(1)
    assert all(a < b for a, b in itertools.pairwise(rates[:peak]))
    assert all(a > b for a, b in itertools.pairwise(rates[peak:]))
    assert 0 < rates[0] < 0.02
    assert 0 <= rates[-1] < 1e-4
    assert one_cycle(0, 10, 0) == 1
    assert one_cycle(9, 10, 1) == pytest.approx(10 / 11)


def test_attention_penalty_equals_its_equation() -> None:
    torch.manual_seed(1)
    attention = torch.rand(2, 4, 3).softmax(dim=2)
    read = torch.tensor([[True, True, True, False], [True, False, False, False]])
    looked = [attention[0, :3].sum(dim=0), attention[1, :1].sum(dim=0)]
    expected = np.mean([float((1 - weight) ** 2) for row in looked for weight in row])
    assert float(attention_penalty(attention, read)) == pytest.approx(expected, abs=1e-6)
    even = torch.full((1, 4, 4), 0.25)  # four steps that each look everywhere visit every location once
    assert float(attention_penalty(even, torch.ones(1, 4, dtype=torch.bool))) == pytest.approx(0)


def test_mean_of_others_leaves_each_out() -> None:
    rewards = torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0])
    assert mean_of_others(rewards, 3).tolist() == [4.0, 3.5, 1.5, 1.5, 1.5, 0.0]


def test_self_critical_gradient_is_that_of_the_expected_reward() -> None:
    """On captions of one word, where the expectation is a sum over the vocabulary."""
    torch.manual_seed(2)
    logits = torch.randn(5, dtype=torch.float64, requires_grad=True)
    worth = torch.tensor([0.0, 1.0, 5.0, -2.0, 3.0], dtype=torch.float64)
    (exact,) = torch.autograd.grad((logits.softmax(0) * worth).sum(), logits)
    each, images = 5, 40_000
    drawn = torch.multinomial(logits.detach().softmax(0), each * images, replacement=True)
    log_probs = logits.log_softmax(0)[drawn][:, None]
    length = 0.5  # of people's captions
    rewards = worth[drawn]
    for baselines in (mean_of_others(rewards, each), torch.full_like(rewards, 2.0)):
        (found,) = torch.autograd.grad(self_critical(log_probs, rewards, baselines, length), logits, retain_graph=True)
        torch.testing.assert_close(-length * found, exact, atol=0.03, rtol=0)


def test_self_critical_gradient_is_that_of_the_expected_reward_of_captions_of_any_length() -> None:
    """Of a word and the end, where all captions can be counted."""
    logits = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    log_p = logits.log_softmax(0)
    longest, ways = 3, [[0] * words + [1] for words in range(3)] + [[0, 0, 0]]
    chances = torch.stack([log_p[way].sum() for way in ways]).exp()
    rewards = torch.tensor([1.0, 0.0, 4.0, 2.0], dtype=torch.float64)
    (exact,) = torch.autograd.grad((chances * rewards).sum(), logits, retain_graph=True)
    written = torch.tensor([[step < len(way) for step in range(longest)] for way in ways])
    tokens = torch.tensor([way + [1] * (longest - len(way)) for way in ways])
    counts = 1000 * chances.detach()  # how often each is drawn of a thousand times
    parts = []
    for row, count in enumerate(counts):
        log_probs = log_p[tokens[[row]]] * written[[row]]
        parts.append(count / 1000 * self_critical(log_probs, rewards[[row]], torch.tensor([1.5]), length=2.0))
    (found,) = torch.autograd.grad(torch.stack(parts).sum(), logits)
    torch.testing.assert_close(-2.0 * found, exact)


SPECIAL = SpecialTokens(bos_id=1, eos_id=2, banned=(0, 1, 3))


def test_scheduled_inputs_mix_by_their_share() -> None:
    torch.manual_seed(3)
    reference, chance = torch.full((4000,), 6), torch.rand(4000, 2)
    logits = torch.tensor([-1e9] * 4 + [0.0, 1.0, -1e9]).expand(4000, 7)  # never the reference's word
    own = scheduled_inputs(reference, logits, 0.3, SPECIAL, chance)
    assert float((own != 6).float().mean()) == pytest.approx(0.3, abs=0.04)
    assert float((own == 5).sum() / (own == 4).sum()) == pytest.approx(np.e, abs=0.5)
    assert torch.equal(scheduled_inputs(reference, logits, 0.0, SPECIAL, chance), reference)


def test_scheduled_inputs_are_words() -> None:
    """Padding, <START> and <UNK> are never drawn, though they be likely; where <END> is, the reference goes on."""
    torch.manual_seed(4)
    reference, chance = torch.full((4000,), 6), torch.rand(4000, 2)
    logits = torch.tensor([9.0, 9.0, 1.0, 9.0, 0.0, 1.0, -1e9]).expand(4000, 7)
    own = scheduled_inputs(reference, logits, 1.0, SPECIAL, chance)
    assert set(own.tolist()) == {4, 5, 6}
    assert float((own == 6).float().mean()) == pytest.approx(np.e / (2 * np.e + 1), abs=0.04)  # as likely as <END>
