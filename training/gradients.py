"""How gradients fade on their way back through time, measured on fresh cells.

After Hochreiter 1991, Bengio et al. 1994 and Pascanu et al. 2013.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from captioner.cells import CELLS, Cell, CellState, LSTMCell
from captioner.errors import OptionError
from captioner.ranges import Range, check_ranges

EMBEDDING_STD = 0.1  # of a decoder's fresh embedding
NAMES = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}


@dataclass(frozen=True)
class Variant:
    """A kind of cell to measure.

    Attributes:
        cell: A name in ``captioner.cells.CELLS``.
        forget_bias: Of an LSTM's forget gate at the start; ``None`` for other cells.
    """

    cell: str
    forget_bias: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """Read ``NAME``, or ``lstm:BIAS``; ``lstm`` alone has a forget-gate bias of 1.

        Raises:
            OptionError: If there is no such cell, or the bias is no number.
        """
        name, colon, bias = text.strip().partition(":")
        if name not in CELLS or (colon and name != "lstm"):
            raise OptionError(f"{text!r} is no cell; choose of: {', '.join(CELLS)}, lstm:BIAS")
        if name != "lstm":
            return cls(name)
        try:
            return cls(name, float(bias) if colon else 1.0)
        except ValueError:
            raise OptionError(f"{text!r}: the forget-gate bias must be a number") from None

    def __str__(self) -> str:
        name = NAMES.get(self.cell, self.cell)
        return name if self.forget_bias is None else f"{name}, forget bias {self.forget_bias:g}"

    def build(self, input_size: int, hidden_size: int) -> Cell:
        """Return a fresh cell."""
        cell = CELLS[self.cell](input_size, hidden_size)
        if isinstance(cell, LSTMCell) and self.forget_bias is not None:
            cell.set_forget_bias(self.forget_bias)
        return cell


@dataclass(frozen=True)
class GradientOptions:
    """What to measure.

    Attributes:
        steps: T, how far back.
        hidden_size: N.
        seeds: How many fresh cells, each on a sequence of its own, to take the mean over.
        text: What the cells read: stretches of this text, each different character a random vector of standard
            deviation 0.1, like a decoder's fresh embedding. If empty, they read standard normal vectors. Both are N
            long.
    """

    steps: Annotated[int, Range(1, 10_000)] = 50
    hidden_size: Annotated[int, Range(1, 4096)] = 128
    seeds: Annotated[int, Range(1, 1000)] = 20
    text: str = ""

    def __post_init__(self) -> None:
        check_ranges(self, error=OptionError)
        if self.text and len(self.text) < self.steps:
            raise OptionError(f"the text has {len(self.text)} characters; {self.steps} steps need as many")


def gradient_norms(cell: Cell, inputs: Tensor, direction: Tensor) -> Tensor:
    """Return how strongly the last hidden vector depends on the state k steps before it.

    The loss is ``direction . h_T``, a function of the last hidden vector alone, and the state is all that a cell
    carries: the hidden vector, of an LSTM the hidden and the cell vector together. What is measured is the L2 norm of
    the gradient of the loss by the state at step ``T - k``, everything before that step held fixed.

    Args:
        cell: The cell.
        inputs: ``[T, R, I]``, what R rows read; the state before the first step is zero.
        direction: ``[R, N]``.

    Returns:
        ``[T + 1, R]``, for k from 0, the last state itself, to T, the state before the first step.
    """
    state = _entry(cell.initial(inputs.shape[1]))
    states = [state]
    for drive in cell.input(inputs):
        state = _entry(cell(drive, state))
        states.append(state)
    loss = (direction * state[0]).sum()  # rows do not mix, so that one sum serves all of them
    flat = [vector for state in reversed(states) for vector in state]
    gradients = torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True)
    squares = torch.stack(gradients).square().sum(dim=2)  # [(T + 1) * S, R], with S vectors per state
    return squares.view(len(states), cell.state_size, -1).sum(dim=1).sqrt()


def _entry(state: CellState) -> CellState:
    """Return the state as values of their own.

    An LSTM's new hidden vector is made of its new cell vector; the copies are what only the next step reads.
    """
    copies = tuple(vector.clone() for vector in state)
    return tuple(copy if copy.requires_grad else copy.requires_grad_() for copy in copies)


def mean_norms(variant: Variant, options: GradientOptions) -> NDArray[np.float64]:
    """Return ``[T + 1]``, the mean of :func:`gradient_norms` over fresh cells, directions of length 1, and inputs."""
    norms = []
    for seed in range(options.seeds):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            cell = variant.build(options.hidden_size, options.hidden_size).double()  # float32 ends at 1e-38
            inputs = _inputs(options)
            direction = torch.nn.functional.normalize(torch.randn(1, options.hidden_size, dtype=torch.double), dim=1)
        norms.append(gradient_norms(cell, inputs, direction).squeeze(1))
    return torch.stack(norms).mean(dim=0).numpy()


def _inputs(options: GradientOptions) -> Tensor:
    """Draw what a cell reads, ``[T, 1, N]``."""
    size = options.hidden_size
    if not options.text:
        return torch.randn(options.steps, 1, size, dtype=torch.double)
    characters = sorted(set(options.text))
    vectors = EMBEDDING_STD * torch.randn(len(characters), size, dtype=torch.double)
    start = int(torch.randint(len(options.text) - options.steps + 1, ()))
    ids = [characters.index(character) for character in options.text[start : start + options.steps]]
    return vectors[ids].unsqueeze(1)


def norm_table(norms: Sequence[tuple[Variant, NDArray[np.float64]]]) -> str:
    """Return the norms at a few distances, as a table of text."""
    steps = len(norms[0][1]) - 1
    shown = [k for k in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if k < steps] + [steps]
    columns = [[str(variant), *(f"{values[k]:.2e}" for k in shown)] for variant, values in norms]
    widths = [max(map(len, column)) for column in columns]
    rows = zip(["steps back", *map(str, shown)], *columns, strict=True)
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, [10, *widths], strict=True)) for row in rows
    )


def save_gradient_plot(path: Path, norms: Sequence[tuple[Variant, NDArray[np.float64]]], note: str) -> None:
    """Draw gradient norms against steps back, on a logarithmic scale; a norm of zero has no place on it.

    Args:
        path: Where to, a PNG.
        norms: ``[T + 1]`` for each kind of cell.
        note: How it was measured.
    """
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for variant, values in norms:
        axes.plot(np.where(values > 0, values, np.nan), label=str(variant), linewidth=2)
    axes.set_yscale("log")
    axes.set_xlabel("steps back from the loss")
    axes.set_ylabel("norm of the gradient by the state")
    axes.set_title(note, fontsize=10)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path)
