"""Weights rounded to 8 bits, each output's to 255 steps of its own."""

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"  # what is added to a weight's name for that of its rows' steps
STEPS = 127  # on either side of zero
LEAST = 16  # numbers in a row; with fewer, such as the nine of a depthwise convolution, the scales would cost too much


def round_weights(tensors: Mapping[str, Tensor], rest: torch.dtype = torch.float16) -> dict[str, Tensor]:
    """Return weights as they are stored: matrices and convolutions ``W`` as ``W = scale * Q``, the rest as it is.

    Args:
        tensors: Weights by name.
        rest: The type of floating-point weights that are not rounded: vectors, and those with short rows.

    Returns:
        For every weight ``[I, ...]`` with at least 16 numbers for each i its integers Q, as int8, under its name, and
        ``scale [I]``, as float32, under its name and ``.scale``; no number moves by more than half a scale. The others
        keep their names.
    """
    stored = {}
    for name, value in tensors.items():
        if value.is_floating_point() and value.ndim >= 2 and value[0].numel() >= LEAST:
            rows = value.float().flatten(1)
            scale = rows.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / STEPS
            stored[name] = (rows / scale[:, None]).round().to(torch.int8).view(value.shape)
            stored[name + SCALE] = scale
        else:
            stored[name] = value.to(rest) if value.is_floating_point() else value
    return stored


def restore_weights(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights from how they are stored, rounded ones as float32; what :func:`round_weights` rounded stays so."""
    return {
        name: _restored(value, stored[name + SCALE]) if name + SCALE in stored else value
        for name, value in stored.items()
        if not name.endswith(SCALE)
    }


def _restored(integers: Tensor, scale: Tensor) -> Tensor:
    return (integers.float().flatten(1) * scale[:, None]).view(integers.shape)
