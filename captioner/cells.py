"""Recurrent cells to which an image can be added at every step: vanilla RNN, LSTM and GRU.

A cell's gates are affine in what it reads and in its own past: ``W_xh x + b + W_ih v + W_hh h``, with the image term
``W_ih v``. The part that does not depend on the past, here called the drive, is computed apart: in training for all
words of a caption at once, and for an image only once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from captioner.registry import Registry

CellState = tuple[Tensor, ...]  # [R, N] each; the first one is the hidden vector
_Fused = Callable[..., tuple[Tensor, ...]]


class Cell(nn.Module, ABC):
    """One layer of recurrent units.

    Args:
        input_size: I, the length of what is read at each step.
        hidden_size: N.
        image_size: M, the length of the image vector v; 0 for a cell without an image term.

    Attributes:
        gates: G, how many affine maps of length N the cell has.
        state_size: How many vectors of length N its state has.
    """

    gates: ClassVar[int]
    state_size: ClassVar[int] = 1
    recurrent_bias: ClassVar[bool] = False

    def __init__(self, input_size: int, hidden_size: int, image_size: int = 0) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        drive_size = self.gates * hidden_size
        self.input = nn.Linear(input_size, drive_size)
        self.image = nn.Linear(image_size, drive_size, bias=False) if image_size else None
        self.recurrent = nn.Linear(hidden_size, drive_size, bias=self.recurrent_bias)
        nn.init.zeros_(self.input.bias)

    def initial(self, rows: int) -> CellState:
        """Return the state of R rows that have read nothing: zeros."""
        zeros = self.input.weight.new_zeros(rows, self.hidden_size)
        return (zeros,) * self.state_size

    @abstractmethod
    def forward(self, drive: Tensor, state: CellState) -> CellState:
        """Take one step.

        Args:
            drive: ``[R, G * N]``, ``W_xh x + b + W_ih v``.
            state: The state before the step.
        """

    @abstractmethod
    def activations(self, drive: Tensor, state: CellState) -> dict[str, Tensor]:
        """Return what goes on in that step, ``[R, N]`` each: the gates as they act, and the new state."""

    def run(self, inputs: Tensor, state: CellState, image: Tensor | None = None) -> tuple[Tensor, CellState]:
        """Take all steps at once in torch's fused layer, which equals :meth:`forward` in a loop.

        An image term is given to the layer as more inputs: ``[W_xh, W_ih] [x; v]``.

        Args:
            inputs: ``[R, T, I]``.
            state: The state before the first step.
            image: ``[R, M]``, the image vector of each row.

        Returns:
            The hidden vectors ``[R, T, N]``, and the state after the last step.
        """
        weight = self.input.weight
        if image is not None and self.image is not None:
            inputs = torch.cat([inputs, image.unsqueeze(1).expand(-1, inputs.shape[1], -1)], dim=2)  # [R, T, I + M]
            weight = torch.cat([weight, self.image.weight], dim=1)
        bias = torch.zeros_like(self.input.bias) if self.recurrent.bias is None else self.recurrent.bias
        weights = [weight, self.recurrent.weight, self.input.bias, bias]
        layers = [vector.unsqueeze(0) for vector in state]  # of one layer
        hidden, *after = self._fused(
            inputs, layers if len(layers) > 1 else layers[0], weights, True, 1, 0.0, self.training, False, True
        )
        return hidden.to(state[0].dtype), tuple(vector.squeeze(0).to(state[0].dtype) for vector in after)

    @property
    @abstractmethod
    def _fused(self) -> _Fused:
        """The layer of torch that computes this kind of cell."""


class RNNCell(Cell):
    """The vanilla recurrent network (Elman 1990): ``h' = tanh(W_xh x + W_hh h + W_ih v + b)``."""

    gates = 1

    def forward(self, drive: Tensor, state: CellState) -> CellState:
        """Take one step; see :meth:`Cell.forward`."""
        (hidden,) = state
        return (torch.tanh((drive + self.recurrent(hidden)).to(hidden.dtype)),)

    def activations(self, drive: Tensor, state: CellState) -> dict[str, Tensor]:
        """Return the new ``hidden``."""
        return {"hidden": self.forward(drive, state)[0]}

    @property
    def _fused(self) -> _Fused:
        return torch.rnn_tanh


class LSTMCell(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    ``c' = f * c + i * g`` and ``h' = o * tanh(c')``, where ``i, f, g, o = sigma(a_i), sigma(a_f), tanh(a_g),
    sigma(a_o)`` are four parts of one affine map, in torch's order. The forget gate starts open, so that memory is kept
    from the first step on (Jozefowicz et al. 2015).
    """

    gates = 4
    state_size = 2

    def __init__(self, input_size: int, hidden_size: int, image_size: int = 0) -> None:
        super().__init__(input_size, hidden_size, image_size)
        self.set_forget_bias(1.0)

    def set_forget_bias(self, value: float) -> None:
        """Set the bias of the forget gate."""
        with torch.no_grad():
            self.input.bias[self.hidden_size : 2 * self.hidden_size] = value

    def forward(self, drive: Tensor, state: CellState) -> CellState:
        """Take one step; see :meth:`Cell.forward`. The state is (hidden, cell)."""
        write, keep, content, read = self._gates(drive, state)
        cell = keep * state[1] + write * content
        return read * torch.tanh(cell), cell

    def activations(self, drive: Tensor, state: CellState) -> dict[str, Tensor]:
        """Return the gates ``input``, ``forget``, ``content``, ``output``, and the new ``cell`` and ``hidden``."""
        gates = dict(zip(("input", "forget", "content", "output"), self._gates(drive, state), strict=True))
        hidden, cell = self.forward(drive, state)
        return {**gates, "cell": cell, "hidden": hidden}

    def _gates(self, drive: Tensor, state: CellState) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        hidden, cell = state
        gates = (drive + self.recurrent(hidden)).to(cell.dtype)
        write, keep, content, read = torch.split(gates, self.hidden_size, dim=1)
        return torch.sigmoid(write), torch.sigmoid(keep), torch.tanh(content), torch.sigmoid(read)

    @property
    def _fused(self) -> _Fused:
        return torch.lstm


class GRUCell(Cell):
    """The gated recurrent unit (Cho et al. 2014), as torch and cuDNN have it.

    ``h' = (1 - z) * n + z * h`` with ``r, z = sigma(a_r), sigma(a_z)`` and ``n = tanh(d_n + r * (W_hn h + b_hn))``,
    where d is the drive: the reset gate acts on the affine map of the past, which is why that has a bias of its own.
    """

    gates = 3
    recurrent_bias = True

    def __init__(self, input_size: int, hidden_size: int, image_size: int = 0) -> None:
        super().__init__(input_size, hidden_size, image_size)
        nn.init.zeros_(self.recurrent.bias)

    def forward(self, drive: Tensor, state: CellState) -> CellState:
        """Take one step; see :meth:`Cell.forward`."""
        _, update, content = self._gates(drive, state)
        return (content + update * (state[0] - content),)

    def activations(self, drive: Tensor, state: CellState) -> dict[str, Tensor]:
        """Return the gates ``reset``, ``update``, ``content``, and the new ``hidden``."""
        gates = dict(zip(("reset", "update", "content"), self._gates(drive, state), strict=True))
        return {**gates, "hidden": self.forward(drive, state)[0]}

    def _gates(self, drive: Tensor, state: CellState) -> tuple[Tensor, Tensor, Tensor]:
        (hidden,) = state
        reset, update, content = drive.to(hidden.dtype).chunk(3, dim=1)
        past = self.recurrent(hidden).to(hidden.dtype)
        past_reset, past_update, past_content = past.chunk(3, dim=1)
        reset = torch.sigmoid(reset + past_reset)
        return reset, torch.sigmoid(update + past_update), torch.tanh(content + reset * past_content)

    @property
    def _fused(self) -> _Fused:
        return torch.gru


CELLS: Registry[type[Cell]] = Registry("cell", {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell})
