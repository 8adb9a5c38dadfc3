"""Matrices rounded to 8 bits, each row, or each block of a row, to 255 steps of its own.

Convolutions are left alone: rounded as well, they cost the shipped model a point of CIDEr, and matrices nothing
(docs/lab/experiments.md, 32).
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from captioner.header import BLOCK, LARGEST, SCALE

STEPS = 127  # on either side of zero


def round_matrices(
    tensors: Mapping[str, Tensor],
    rest: torch.dtype = torch.float16,
    kept: Collection[str] = (),
    in_blocks: Collection[str] = (),
) -> dict[str, Tensor]:
    """Return weights as they are stored: a matrix ``W`` as ``W = scale * Q``, everything else as it is.

    Args:
        tensors: Weights by name.
        rest: The type of floating-point weights that are no matrices, and of those that are kept.
        kept: Names of matrices that are not rounded.
        in_blocks: Names of matrices whose rows are rounded in blocks.

    Returns:
        For every other matrix ``[I, J]`` its integers Q, as int8, under its name, and ``scale [I]``, as float32, under
        its name and ``.scale``; no entry moves by more than half a scale. Of one in blocks, the ``largest [I, blocks]``
        absolute number of each, as float16, under its name and ``.largest``, which is 127 times the blocks' scales. The
        others keep their names.
    """
    stored = {}
    for name, value in tensors.items():
        if name in in_blocks:
            stored[name], stored[name + LARGEST] = _in_blocks(value)
        elif value.is_floating_point() and value.ndim == 2 and name not in kept:
            scale = value.float().abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / STEPS
            stored[name] = (value.float() / scale[:, None]).round().to(torch.int8)
            stored[name + SCALE] = scale
        else:
            stored[name] = value.to(rest) if value.is_floating_point() else value
    return stored


def _in_blocks(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Round a matrix ``[I, J]``, as float16 has it; return its integers and what is largest in the blocks."""
    columns = matrix.shape[1]
    whole = F.pad(matrix.half().float(), (0, -columns % BLOCK)).reshape(len(matrix), -1, BLOCK)
    largest = whole.abs().amax(dim=2)
    steps = largest.clamp_min(torch.finfo(torch.float32).tiny) / STEPS
    integers = (whole / steps[:, :, None]).round().to(torch.int8)
    return integers.flatten(1)[:, :columns].contiguous(), largest.half()


def restore_matrices(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights from how they are stored, matrices as float32; what :func:`round_matrices` rounded stays so."""
    return {
        name: value.float() * _steps(name, stored) if {name + SCALE, name + LARGEST} & stored.keys() else value
        for name, value in stored.items()
        if not name.endswith((SCALE, LARGEST))
    }


def _steps(name: str, stored: Mapping[str, Tensor]) -> Tensor:
    """Return the steps of a matrix ``[I, J]``, ``[I, 1]`` of its rows or ``[I, J]`` of their blocks."""
    if name + SCALE in stored:
        return stored[name + SCALE][:, None]
    steps = stored[name + LARGEST].float() / STEPS
    return steps.repeat_interleave(BLOCK, dim=1)[:, : stored[name].shape[1]]
