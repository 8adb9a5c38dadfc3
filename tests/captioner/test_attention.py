"""Additive attention against its equation in NumPy."""

import numpy as np
import torch

from captioner.attention import AdditiveAttention


def test_equals_its_equation() -> None:
    torch.manual_seed(0)
    attention = AdditiveAttention(value_size=4, query_size=3, attention_size=5).double()
    values, hidden = torch.randn(2, 6, 4).double(), torch.randn(4, 3).double()
    with torch.no_grad():
        context, weights = attention(hidden, attention.prepare(values))
    w_v, b_v = attention.key.weight.detach().numpy(), attention.key.bias.detach().numpy()
    w_h, w = attention.query.weight.detach().numpy(), attention.score.weight.detach().numpy()[0]
    for row in range(4):
        v, h = values[row // 2].numpy(), hidden[row].numpy()
        scores = np.array([w @ np.tanh(w_v @ location + b_v + w_h @ h) for location in v])
        expected = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(weights[row].numpy(), expected, rtol=1e-5)
        np.testing.assert_allclose(context[row].numpy(), expected @ v, rtol=1e-5)


def test_permuting_locations_permutes_weights() -> None:
    torch.manual_seed(1)
    attention = AdditiveAttention(4, 3, 5)
    values, hidden, order = torch.randn(1, 6, 4), torch.randn(1, 3), torch.randperm(6)
    context, weights = attention(hidden, attention.prepare(values))
    permuted_context, permuted = attention(hidden, attention.prepare(values[:, order]))
    torch.testing.assert_close(permuted, weights[:, order])
    torch.testing.assert_close(permuted_context, context)


def test_gradients_in_double_precision() -> None:
    torch.manual_seed(2)
    attention = AdditiveAttention(2, 2, 3).double()

    def look(hidden: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        context, _ = attention(hidden, attention.prepare(values))
        return torch.as_tensor(context)

    hidden = torch.randn(2, 2, dtype=torch.double, requires_grad=True)
    values = torch.randn(1, 3, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(look, (hidden, values), eps=1e-4, atol=1e-3)
