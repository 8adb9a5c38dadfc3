"""Every cell against its equation in NumPy, torch's own cell, torch's fused layer, and finite differences."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from captioner.cells import CELLS, Cell, LSTMCell

Array = NDArray[np.float64]
X, N, M, ROWS, STEPS = 5, 4, 3, 2, 6


def build(name: str, image_size: int = M, dtype: torch.dtype = torch.float64) -> Cell:
    torch.manual_seed(0)
    cell = CELLS[name](X, N, image_size).to(dtype).eval()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return cell


def start(cell: Cell) -> tuple[Tensor, ...]:
    return tuple(torch.randn(ROWS, N, dtype=cell.input.weight.dtype) for _ in range(cell.state_size))


def drive(cell: Cell, inputs: Tensor, image: Tensor | None) -> Tensor:
    term = 0 if image is None or cell.image is None else cell.image(image)
    return cell.input(inputs) + term  # type: ignore[no-any-return]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def numpy_rnn(a: Array, u: Array, _: Array, h: Array) -> list[Array]:
    """h' = tanh(W_xh x + W_ih v + b + W_hh h)."""
    return [np.tanh(a + h @ u.T)]


def numpy_lstm(a: Array, u: Array, _: Array, h: Array, c: Array) -> list[Array]:
    """Four gates in one affine map."""
    i, f, g, o = np.split(a + h @ u.T, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def numpy_gru(a: Array, u: Array, b: Array, h: Array) -> list[Array]:
    """The reset gate acts on the affine map of the past."""
    (ar, az, an), (ur, uz, un), (br, bz, bn) = np.split(a, 3, axis=1), np.split(u, 3), np.split(b, 3)
    r, z = sigmoid(ar + h @ ur.T + br), sigmoid(az + h @ uz.T + bz)
    n = np.tanh(an + r * (h @ un.T + bn))
    return [(1 - z) * n + z * h]


NUMPY: dict[str, Callable[..., list[Array]]] = {"rnn": numpy_rnn, "lstm": numpy_lstm, "gru": numpy_gru}
TORCH = {"rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}


@pytest.fixture(params=list(CELLS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_cell_equals_its_equation_in_numpy(name: str) -> None:
    cell = build(name)
    assert cell.image is not None
    x, v = np.random.default_rng(1).normal(size=(2, ROWS, 5))
    v = v[:, :M]
    state = start(cell)
    w_x, b, w_v, w_h = (
        p.detach().numpy() for p in (cell.input.weight, cell.input.bias, cell.image.weight, cell.recurrent.weight)
    )
    past = np.zeros(cell.gates * N) if cell.recurrent.bias is None else cell.recurrent.bias.detach().numpy()
    affine = x @ w_x.T + v @ w_v.T + b
    expected = NUMPY[name](affine, w_h, past, *(vector.numpy() for vector in state))
    found = cell(drive(cell, torch.from_numpy(x), torch.from_numpy(v)), state)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-12)


def test_cell_without_image_equals_torch(name: str) -> None:
    cell = build(name)
    theirs = TORCH[name](X, N).double()
    with torch.no_grad():
        theirs.weight_ih.copy_(cell.input.weight)
        theirs.weight_hh.copy_(cell.recurrent.weight)
        theirs.bias_ih.copy_(cell.input.bias)
        theirs.bias_hh.copy_(torch.zeros_like(theirs.bias_hh) if cell.recurrent.bias is None else cell.recurrent.bias)
    x, state = torch.randn(ROWS, X, dtype=torch.float64), start(cell)
    after = theirs(x, state if len(state) > 1 else state[0])
    expected = after if isinstance(after, tuple) else (after,)
    nothing = torch.zeros(ROWS, M, dtype=torch.float64)
    for ours, other in zip(cell(drive(cell, x, nothing), state), expected, strict=True):
        torch.testing.assert_close(ours, other)


def test_gradients_equal_finite_differences(name: str) -> None:
    cell = build(name)
    names = [parameter for parameter, _ in cell.named_parameters()]

    def two_steps(x: Tensor, v: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        weights = dict(zip(names, rest[cell.state_size :], strict=True))

        def step(state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, ...]:
            affine = x @ weights["input.weight"].T + weights["input.bias"] + v @ weights["image.weight"].T
            found: tuple[Tensor, ...] = torch.func.functional_call(cell, weights, (affine, state))
            return found

        return step(step(rest[: cell.state_size], x), x.flip(0))

    x, v = torch.randn(ROWS, X, dtype=torch.float64), torch.randn(ROWS, M, dtype=torch.float64)
    arguments = [x, v, *start(cell), *(parameter.detach().clone() for parameter in cell.parameters())]
    assert torch.autograd.gradcheck(two_steps, tuple(argument.requires_grad_() for argument in arguments))


@pytest.mark.parametrize("with_image", [False, True])
def test_fused_layer_equals_stepping(name: str, with_image: bool) -> None:
    cell = build(name, M if with_image else 0)
    inputs = torch.randn(ROWS, STEPS, X, dtype=torch.float64)
    image = torch.randn(ROWS, M, dtype=torch.float64) if with_image else None
    state = start(cell)
    hidden, last = cell.run(inputs, state, image)
    for t in range(STEPS):
        state = cell(drive(cell, inputs[:, t], image), state)
        torch.testing.assert_close(hidden[:, t], state[0])
    for ours, other in zip(last, state, strict=True):
        torch.testing.assert_close(ours, other)


def test_fused_layer_learns_as_stepping_does(name: str) -> None:
    cell = build(name)
    inputs, image = torch.randn(ROWS, STEPS, X).double(), torch.randn(ROWS, M).double()
    state = start(cell)
    cell.run(inputs, state, image)[0].square().sum().backward()  # type: ignore[no-untyped-call]
    fused = {name: parameter.grad for name, parameter in cell.named_parameters()}
    cell.zero_grad()
    loss = torch.zeros(()).double()
    for t in range(STEPS):
        state = cell(drive(cell, inputs[:, t], image), state)
        loss = loss + state[0].square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    for parameter, weight in cell.named_parameters():
        torch.testing.assert_close(fused[parameter], weight.grad)


def test_the_image_term_acts_at_every_step(name: str) -> None:
    cell = build(name)
    inputs = torch.zeros(ROWS, STEPS, X, dtype=torch.float64)
    for t in range(STEPS):  # the same past, another image at one step: what follows differs from that step on
        images = torch.zeros(STEPS, ROWS, M, dtype=torch.float64)
        images[t] = 1.0
        state = plain = tuple(torch.zeros(ROWS, N).double() for _ in range(cell.state_size))
        for step, image in enumerate(images):
            state = cell(drive(cell, inputs[:, step], image), state)
            plain = cell(drive(cell, inputs[:, step], torch.zeros_like(image)), plain)
            assert bool((state[0] == plain[0]).all()) == (step < t)


def test_activations_explain_the_step(name: str) -> None:
    cell = build(name)
    affine, state = torch.randn(ROWS, cell.gates * N, dtype=torch.float64), start(cell)
    inside, after = cell.activations(affine, state), cell(affine, state)
    torch.testing.assert_close(inside["hidden"], after[0])
    if name == "lstm":
        cell_vector = inside["forget"] * state[1] + inside["input"] * inside["content"]
        torch.testing.assert_close(inside["cell"], cell_vector)
        torch.testing.assert_close(inside["hidden"], inside["output"] * torch.tanh(cell_vector))
    if name == "gru":
        mixed = (1 - inside["update"]) * inside["content"] + inside["update"] * state[0]
        torch.testing.assert_close(inside["hidden"], mixed)
    for gate in {"input", "forget", "output", "reset", "update"} & set(inside):
        assert bool(((inside[gate] > 0) & (inside[gate] < 1)).all())


def test_forget_gates_start_open() -> None:
    cell = LSTMCell(X, N)
    expected = torch.zeros(4 * N)
    expected[N : 2 * N] = 1
    assert torch.equal(cell.input.bias, expected)
    cell.set_forget_bias(0)
    assert not bool(cell.input.bias.any())
