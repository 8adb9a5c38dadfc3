"""The equations of recurrent cells, apart from where their gates' inputs come from."""

import torch
from torch import Tensor, nn


def lstm_update(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Apply an LSTM's gates (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    ``c' = sigmoid(f) * c + sigmoid(i) * tanh(g)`` and ``h' = sigmoid(o) * tanh(c')``.

    Args:
        gates: ``[R, 4N]``, affine in the inputs, in torch's order: input i, forget f, cell g, output o.
        cell: ``[R, N]``, the cell before the step.

    Returns:
        Hidden and cell after the step, ``[R, N]`` each.
    """
    write, keep, content, read = gates.to(cell.dtype).chunk(4, dim=1)
    cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(content)
    return torch.sigmoid(read) * torch.tanh(cell), cell


def init_forget_bias(gates: nn.Linear, value: float = 1.0) -> None:
    """Set the biases of an affine map to LSTM gates to zero, but the forget gate's to a value.

    A forget gate that starts open keeps memory from the first step (Jozefowicz et al. 2015).
    """
    units = gates.out_features // 4
    with torch.no_grad():
        gates.bias.zero_()
        gates.bias[units : 2 * units] = value
