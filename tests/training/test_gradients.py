"""Gradients through time, against recurrences written by hand."""

from typing import Any

import numpy as np
import pytest
import torch

from captioner.cells import GRUCell, LSTMCell, RNNCell
from captioner.errors import OptionError
from training.gradients import GradientOptions, Variant, gradient_norms, mean_norms, norm_table

T, R, N, SIZE = 7, 3, 5, 4


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(T, R, SIZE, dtype=torch.double, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def direction() -> torch.Tensor:
    return torch.randn(R, N, dtype=torch.double, generator=torch.Generator().manual_seed(2))


def arrays(cell: torch.nn.Module) -> dict[str, Any]:
    return {name: value.detach().numpy() for name, value in cell.named_parameters()}


def test_norms_of_an_rnn_are_those_of_its_jacobians(inputs: torch.Tensor, direction: torch.Tensor) -> None:
    torch.manual_seed(0)
    cell = RNNCell(SIZE, N).double()
    w = arrays(cell)
    hidden, slopes = np.zeros((R, N)), []
    for x in inputs.numpy():
        hidden = np.tanh(x @ w["input.weight"].T + w["input.bias"] + hidden @ w["recurrent.weight"].T)
        slopes.append(1 - hidden**2)
    gradient, expected = direction.numpy(), []
    for slope in reversed(slopes):
        expected.append(np.linalg.norm(gradient, axis=1))
        gradient = (gradient * slope) @ w["recurrent.weight"]
    expected.append(np.linalg.norm(gradient, axis=1))
    np.testing.assert_allclose(gradient_norms(cell, inputs, direction).numpy(), expected, rtol=1e-10)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def test_norms_of_an_lstm_are_those_of_its_whole_state(inputs: torch.Tensor, direction: torch.Tensor) -> None:
    torch.manual_seed(0)
    cell = LSTMCell(SIZE, N).double()
    w = arrays(cell)
    hidden, memory, tape = np.zeros((R, N)), np.zeros((R, N)), []
    for x in inputs.numpy():
        drive = x @ w["input.weight"].T + w["input.bias"] + hidden @ w["recurrent.weight"].T
        i, f, g, o = np.split(drive, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        before, memory = memory, f * memory + i * g
        hidden = o * np.tanh(memory)
        tape.append((i, f, g, o, before, np.tanh(memory)))
    to_hidden, to_memory, expected = direction.numpy(), np.zeros((R, N)), []
    for i, f, g, o, before, squashed in reversed(tape):
        expected.append(np.linalg.norm(np.hstack([to_hidden, to_memory]), axis=1))
        inner = to_memory + to_hidden * o * (1 - squashed**2)
        drive = [
            inner * g * i * (1 - i),
            inner * before * f * (1 - f),
            inner * i * (1 - g**2),
            to_hidden * squashed * o * (1 - o),
        ]
        to_hidden, to_memory = np.hstack(drive) @ w["recurrent.weight"], inner * f
    expected.append(np.linalg.norm(np.hstack([to_hidden, to_memory]), axis=1))
    np.testing.assert_allclose(gradient_norms(cell, inputs, direction).numpy(), expected, rtol=1e-10)


def test_norms_of_a_gru_are_those_of_autograd(inputs: torch.Tensor, direction: torch.Tensor) -> None:
    torch.manual_seed(0)
    cell = GRUCell(SIZE, N).double()
    norms = gradient_norms(cell, inputs, direction)
    for steps in range(T + 1):
        (hidden,) = cell.initial(R)
        for x in inputs[: T - steps]:
            (hidden,) = cell(cell.input(x), (hidden,))
        start = hidden.detach().requires_grad_()
        hidden = start
        for x in inputs[T - steps :]:
            (hidden,) = cell(cell.input(x), (hidden,))
        [gradient] = torch.autograd.grad((direction * hidden).sum(), start)
        torch.testing.assert_close(norms[steps], gradient.norm(dim=1))


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_a_scaled_rotation_shrinks_or_grows_gradients_by_its_scale(scale: float) -> None:
    cell = RNNCell(SIZE, N).double()
    rotation, _ = torch.linalg.qr(torch.randn(N, N, dtype=torch.double))
    with torch.no_grad():
        cell.recurrent.weight.copy_(scale * rotation)
    silence = torch.zeros(20, 1, SIZE, dtype=torch.double)  # hidden stays zero, where tanh is the identity
    direction = torch.nn.functional.normalize(torch.ones(1, N, dtype=torch.double), dim=1)
    norms = gradient_norms(cell, silence, direction).squeeze(1).detach().numpy()
    np.testing.assert_allclose(norms, scale ** np.arange(21), rtol=1e-10)


def test_an_open_forget_gate_keeps_gradients() -> None:
    options = GradientOptions(steps=20, hidden_size=16, seeds=4)
    shut, neutral, open_ = (mean_norms(Variant.parse(name), options)[-1] for name in ("lstm:-2", "lstm:0", "lstm"))
    assert shut < neutral < open_


def test_measuring_repeats_itself_and_leaves_the_random_generator_alone() -> None:
    options = GradientOptions(steps=5, hidden_size=8, seeds=2)
    before = torch.get_rng_state()
    first = mean_norms(Variant("gru"), options)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    np.testing.assert_array_equal(mean_norms(Variant("gru"), options), first)
    assert first[0] == pytest.approx(1)
    assert len(first) == 6


def test_a_text_can_be_read() -> None:
    on_text = GradientOptions(steps=5, hidden_size=8, seeds=2, text="row row row")
    norms = mean_norms(Variant("rnn"), on_text)
    assert np.isfinite(norms).all()
    assert not np.allclose(norms[1:], mean_norms(Variant("rnn"), GradientOptions(5, 8, 2))[1:])


@pytest.mark.parametrize(
    ("text", "variant", "name"),
    [
        ("rnn", Variant("rnn"), "RNN"),
        ("lstm", Variant("lstm", 1.0), "LSTM, forget bias 1"),
        (" lstm:-0.5", Variant("lstm", -0.5), "LSTM, forget bias -0.5"),
    ],
)
def test_variants_are_read(text: str, variant: Variant, name: str) -> None:
    assert Variant.parse(text) == variant
    assert str(variant) == name


@pytest.mark.parametrize("text", ["tree", "gru:1", "lstm:open", ""])
def test_unknown_variants_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"is no cell|must be a number"):
        Variant.parse(text)


def test_bad_options_are_refused() -> None:
    with pytest.raises(OptionError, match="seeds is 0; it must be between 1 and 1000"):
        GradientOptions(seeds=0)
    with pytest.raises(OptionError, match="the text has 3 characters; 50 steps need as many"):
        GradientOptions(text="row")


def test_the_table_shows_every_cell_to_the_last_step() -> None:
    norms = [(Variant("rnn"), 0.5 ** np.arange(8.0)), (Variant("lstm", 1.0), np.ones(8))]
    lines = norm_table(norms).splitlines()
    assert [line.split()[0] for line in lines] == ["steps", "0", "1", "2", "5", "7"]
    assert lines[-1].split() == ["7", "7.81e-03", "1.00e+00"]
    assert len({len(line) for line in lines}) == 1
