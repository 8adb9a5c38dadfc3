"""Matrices rounded to 8 bits, each row to 255 steps of its own.

Convolutions are left alone: rounded as well, they cost the shipped model a point of CIDEr, and matrices nothing
(docs/lab/experiments.md, 32).
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from captioner.header import SCALE

STEPS = 127  # on either side of zero


def round_matrices(
    tensors: Mapping[str, Tensor], rest: torch.dtype = torch.float16, kept: Collection[str] = ()
) -> dict[str, Tensor]:
    """Return weights as they are stored: a matrix ``W`` as ``W = scale * Q``, everything else as it is.

    Args:
        tensors: Weights by name.
        rest: The type of floating-point weights that are no matrices, and of those that are kept.
        kept: Names of matrices that are not rounded.

    Returns:
        For every other matrix ``[I, J]`` its integers Q, as int8, under its name, and ``scale [I]``, as float32, under
        its name and ``.scale``; no entry moves by more than half a scale. The others keep their names.
    """
    stored = {}
    for name, value in tensors.items():
        if value.is_floating_point() and value.ndim == 2 and name not in kept:
            scale = value.float().abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / STEPS
            stored[name] = (value.float() / scale[:, None]).round().to(torch.int8)
            stored[name + SCALE] = scale
        else:
            stored[name] = value.to(rest) if value.is_floating_point() else value
    return stored


def restore_matrices(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights from how they are stored, matrices as float32; what :func:`round_matrices` rounded stays so."""
    return {
        name: value.float() * stored[name + SCALE][:, None] if name + SCALE in stored else value
        for name, value in stored.items()
        if not name.endswith(SCALE)
    }
