"""The loss and the schedule against their equations."""

import itertools

import numpy as np
import pytest
import torch

from training.objective import cross_entropy
from training.schedule import one_cycle


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
