"""Stacks of every cell, told of the image in each of the three ways."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from captioner.cells import CELLS
from captioner.config import DecoderConfig
from captioner.errors import ConfigError
from captioner.stack import CellStack

X, N, M, ROWS, STEPS = 5, 4, 3, 6, 4
CONDITIONS = ("every_step", "initial_state", "first_input")


def build(**options: object) -> CellStack:
    torch.manual_seed(0)
    config = replace(DecoderConfig(hidden_size=N, dropout=0.4), **options)  # type: ignore[arg-type]
    stack = CellStack(config, X, M).eval()
    for parameter in stack.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return stack


def images(count: int) -> Tensor:
    return torch.randn(count, M, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("cell", list(CELLS))
@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize(("layers", "residual"), [(1, False), (2, True), (3, False), (4, True)])
def test_running_equals_stepping(cell: str, condition: str, layers: int, residual: bool) -> None:
    stack = build(cell=cell, condition=condition, layers=layers, residual=residual)
    memory = stack.prepare(images(2))
    inputs = torch.randn(ROWS, STEPS, X)
    outputs, last = stack.run(inputs, memory, stack.begin(memory, 3))
    state = stack.begin(memory, 3)
    for t in range(STEPS):
        output, state = stack(stack.read(inputs[:, t], memory), state)
        torch.testing.assert_close(outputs[:, t], output)
    assert len(state.layers) == layers
    for ours, theirs in zip(last.layers, state.layers, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)


def test_two_layers_equal_torch() -> None:
    stack = build(condition="initial_state", layers=2)
    theirs = torch.nn.LSTM(X, N, num_layers=2, batch_first=True)
    with torch.no_grad():
        for layer, cell in enumerate(stack.layers):
            getattr(theirs, f"weight_ih_l{layer}").copy_(cell.input.weight)
            getattr(theirs, f"weight_hh_l{layer}").copy_(cell.recurrent.weight)
            getattr(theirs, f"bias_ih_l{layer}").copy_(cell.input.bias)
            getattr(theirs, f"bias_hh_l{layer}").zero_()
    memory, inputs = stack.prepare(images(ROWS)), torch.randn(ROWS, STEPS, X)
    state = stack.begin(memory)
    hidden, cells = (torch.stack([layer[i] for layer in state.layers]) for i in range(2))
    torch.testing.assert_close(stack.run(inputs, memory, state)[0], theirs(inputs, (hidden, cells))[0])


def test_a_residual_layer_adds_its_input() -> None:
    stack = build(layers=3, residual=True)
    memory = stack.prepare(images(ROWS))
    output, state = stack(stack.read(torch.randn(ROWS, X), memory), stack.begin(memory))
    torch.testing.assert_close(output, sum(layer[0] for layer in state.layers))


@pytest.mark.parametrize("cell", list(CELLS))
def test_the_image_as_initial_state(cell: str) -> None:
    stack = build(cell=cell, condition="initial_state", layers=2)
    vector = images(2)
    assert stack.initial is not None
    assert stack.bottom.image is None
    state = stack.begin(stack.prepare(vector), rows_per_image=3)
    flat = torch.cat([vector for layer in state.layers for vector in layer], dim=1)
    torch.testing.assert_close(flat, torch.tanh(stack.initial(vector)).repeat_interleave(3, dim=0))


@pytest.mark.parametrize("cell", list(CELLS))
def test_the_image_as_first_input(cell: str) -> None:
    stack = build(cell=cell, condition="first_input", layers=2)
    vector = images(2)
    assert stack.first is not None
    assert stack.bottom.image is None
    nothing = CellStack.prepare(build(cell=cell), vector * 0)
    state = stack.begin(nothing)
    first, _ = stack.run(stack.first(vector)[:, None], stack.prepare(vector), state)
    torch.testing.assert_close(stack.begin(stack.prepare(vector)).hidden, first[:, 0])


@pytest.mark.parametrize("cell", list(CELLS))
def test_the_image_at_every_step_is_the_bottom_cell_s_image_term(cell: str) -> None:
    stack = build(cell=cell)
    vector, inputs = images(2), torch.randn(ROWS, X)
    assert stack.bottom.image is not None
    drive = stack.bottom.input(inputs) + stack.bottom.image(vector.repeat_interleave(3, dim=0))
    torch.testing.assert_close(stack.read(inputs, stack.prepare(vector)), drive)


def test_dropout_between_layers_and_in_training_only() -> None:
    for layers, random in ((1, False), (2, True)):
        stack = build(layers=layers)
        memory, inputs = stack.prepare(images(ROWS)), torch.randn(ROWS, STEPS, X)
        state = stack.begin(memory)
        stack.train()
        first, second = (stack.run(inputs, memory, state)[0] for _ in range(2))
        assert torch.equal(first, second) != random
        stack.eval()
        assert torch.equal(stack.run(inputs, memory, state)[0], stack.run(inputs, memory, state)[0])


def test_a_detached_state_lets_no_gradient_through() -> None:
    stack = build(condition="initial_state")
    state = stack.begin(stack.prepare(images(ROWS)))
    assert state.hidden.requires_grad
    assert not state.detach().hidden.requires_grad
    assert torch.equal(state.detach().hidden, state.hidden)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 5}, "layers is 5; it must be between 1 and 4"),
        ({"layers": 0}, "layers is 0; it must be between 1 and 4"),
        ({"residual": True}, "residual is true; it needs at least 2 layers"),
        ({"cell": "qrnn"}, "unknown cell 'qrnn'; choose one of: gru, lstm, rnn"),
    ],
)
def test_impossible_stacks_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**options)
