"""The weights of a checkpoint in the forms in which graphs want them, which a suffix of a name tells."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner.header import BLOCK, LARGEST, SCALE
from captioner.types import FloatArray

INTEGERS = ".integers"  # ends the name of a matrix of 8 bits as integer kernels read it, in blocks of rows
SCALES = ".scales"  # ends the name of the steps of its blocks
MIDDLE, STEPS = 128, 127  # the byte that stands for zero, and steps on either side of it


class GraphWeights:
    """Weights by the names that a graph has for them.

    Args:
        weights: Those of the checkpoint, by their names in the file.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._weights = weights
        self._rounded: dict[str, tuple[NDArray[np.uint8], FloatArray]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a weight in the form that its name tells."""
        if name.endswith(INTEGERS):
            return self._blocks(name.removesuffix(INTEGERS))[0]
        if name.endswith(SCALES):
            return self._blocks(name.removesuffix(SCALES))[1]
        value, steps = self._weights[name], self._steps(name)
        if steps is not None:
            each = steps[:, None] if steps.ndim == 1 else steps.repeat(BLOCK, axis=1)[:, : value.shape[1]]
            return np.asarray(value.astype(np.float32) * each)
        return value.astype(np.float32) if value.dtype == np.float16 else value

    def _blocks(self, name: str) -> tuple[NDArray[np.uint8], FloatArray]:
        if name not in self._rounded:
            self._rounded[name] = in_blocks(self._weights[name], self._steps(name))
        return self._rounded[name]

    def _steps(self, name: str) -> FloatArray | None:
        """Return the steps of a matrix of 8 bits: ``[I]`` of its rows, or ``[I, blocks]`` of their blocks."""
        if name + LARGEST in self._weights:
            return _steps_of(self._weights[name + LARGEST].astype(np.float32))
        return self._weights.get(name + SCALE)


def in_blocks(matrix: NDArray[Any], scales: FloatArray | None = None) -> tuple[NDArray[np.uint8], FloatArray]:
    """Round a matrix ``[I, J]`` in blocks of its rows to 8 bits.

    Args:
        matrix: Floating-point numbers, or integers that are rounded already.
        scales: The steps of integers, ``[I]`` of rows or ``[I, blocks]`` of their blocks.

    Returns:
        Bytes ``[I, blocks, BLOCK]``, the last block filled up with zeros, and the blocks' steps ``[I, blocks]``.
    """
    blocks = -(-matrix.shape[1] // BLOCK)
    whole = np.zeros((len(matrix), blocks * BLOCK), dtype=np.float32)
    whole[:, : matrix.shape[1]] = matrix
    whole = whole.reshape(len(matrix), blocks, BLOCK)
    if scales is None:
        steps = _steps_of(np.abs(whole).max(axis=2))
        whole = np.rint(whole / steps[:, :, None])
    else:
        steps = np.repeat(scales[:, None], blocks, axis=1) if scales.ndim == 1 else scales
    return (whole + MIDDLE).astype(np.uint8), steps


def _steps_of(largest: FloatArray) -> FloatArray:
    """Return the steps of blocks, given their largest absolute numbers."""
    return np.asarray(np.maximum(largest, np.finfo(np.float32).tiny) / np.float32(STEPS), dtype=np.float32)
