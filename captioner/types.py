"""The values that flow through the library, in the order in which they are made.

Axis letters: B batch, R decoder rows (B times the rows per image), T time steps, L locations (rows * cols of the
grid), D grid channels, P vector length, N hidden units, A attention size, V vocabulary, K beams.
"""

from __future__ import annotations  # torch's types are named here, but what serves runs without torch

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from captioner.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
ArrayT = TypeVar("ArrayT", default="Tensor")


@dataclass(frozen=True)
class Features(Generic[ArrayT]):
    """What an encoder sees in a batch of images, as tensors of torch or as the arrays of another runtime.

    Attributes:
        vector: ``[B, P]``, the image as one vector.
        grid: ``[B, L, D]``, the annotation vectors, row by row from the top left; ``None`` if the encoder was told to
            give the vector alone.
        rows: Number of grid rows, 0 without a grid.
        cols: Number of grid columns; ``rows * cols == L``.
    """

    vector: ArrayT
    grid: ArrayT | None
    rows: int
    cols: int

    def to(self: Features, device: torch.device) -> Features:
        """Return the features on a device."""
        return replace(self, vector=self.vector.to(device), grid=None if self.grid is None else self.grid.to(device))

    def part(self: Features, index: int, parts: int) -> Features:
        """Return one of equal shares of the channels of vector and grid, as one of several encoders saw them."""
        grid = None if self.grid is None else self.grid.chunk(parts, dim=2)[index]
        return replace(self, vector=self.vector.chunk(parts, dim=1)[index], grid=grid)

    def require_grid(self) -> ArrayT:
        """Return the grid, for who cannot do without it; a model makes sure of it when it is built."""
        if self.grid is None:
            raise ConfigError("this decoder attends over a grid, and the encoder gives none")
        return self.grid


class DecoderState(Protocol):
    """What a decoder carries from one time step to the next, one entry per row."""

    def select(self, rows: Tensor) -> Self:
        """Return the state of the given rows, in that order.

        Args:
            rows: ``[R']`` row indices; an index may occur several times.
        """
        ...

    def detach(self) -> Self:
        """Return the state cut off from what made it, so that gradients stop there."""
        ...


class DecoderMemory(Protocol):
    """What a decoder needs of B images, computed once."""

    def select(self, images: Tensor) -> Self:
        """Return the memory of the given images ``[B']``, in that order."""
        ...


StateT = TypeVar("StateT", bound=DecoderState)
MemoryT = TypeVar("MemoryT")


@dataclass(frozen=True)
class DecoderStep(Generic[StateT]):
    """What one time step of a decoder gives.

    Attributes:
        logits: ``[R, V]``, unnormalised scores of the next token.
        attention: ``[R, L]``, weights that sum to one along L; ``None`` for a decoder that does not attend.
        state: The state after the step.
    """

    logits: Tensor
    attention: Tensor | None
    state: StateT


@dataclass(frozen=True)
class DecoderRun(Generic[StateT]):
    """What a decoder gives for T steps at once.

    Attributes:
        logits: ``[R, T, V]``, unnormalised scores of the token after each one read.
        attention: ``[R, T, L]``, weights that sum to one along L; ``None`` for a decoder that does not attend.
        state: The state after the last step.
    """

    logits: Tensor
    attention: Tensor | None
    state: StateT


class RowState(Protocol):
    """What a runtime carries from one time step to the next, one entry per row; see :class:`DecoderState`."""

    def select(self, rows: IntArray) -> Self:
        """Return the state of the rows ``[R']``, in that order; an index may occur several times."""
        ...


RowStateT = TypeVar("RowStateT", bound=RowState)


@dataclass(frozen=True)
class ScoredStep(Generic[RowStateT]):
    """What one time step of a runtime gives, as arrays of NumPy, wherever it was computed.

    Attributes:
        log_probs: ``[R, V]`` float32, natural-log probabilities of the next token; the caller may write into it.
        attention: ``[R, L]`` float32, weights that sum to one along L; ``None`` for a decoder that does not attend.
        state: The state after the step.
    """

    log_probs: FloatArray
    attention: FloatArray | None
    state: RowStateT


class Steppable(Protocol[MemoryT, RowStateT]):
    """What search needs of a decoder, whatever computes it.

    Rows are grouped by image: with R rows and B images, row ``r`` belongs to image ``r // (R // B)``. The memory holds
    one entry per image, so that beams and reference captions of one image share its keys instead of copying them.
    """

    def begin(self, memory: MemoryT, rows_per_image: int = 1) -> RowStateT:
        """Return the state before the first step, for ``B * rows_per_image`` rows."""
        ...

    def select(self, memory: MemoryT, images: IntArray) -> MemoryT:
        """Return the memory of the given images ``[B']``, in that order."""
        ...

    def step(self, tokens: IntArray, memory: MemoryT, state: RowStateT) -> ScoredStep[RowStateT]:
        """Read one token per row (``[R]`` ids) and score the next."""
        ...


class Runtime(Steppable[MemoryT, RowStateT], Protocol[MemoryT, RowStateT]):
    """A captioning model wherever it is computed: all that a predictor needs besides words."""

    @property
    def attends(self) -> bool:
        """Whether the decoder looks at the grid."""
        ...

    @property
    def name(self) -> str:
        """What it is called: "torch" or "onnx"."""
        ...

    @property
    def place(self) -> str:
        """Where it computes, for people: ``cpu (2 threads)``; a device's name comes first."""
        ...

    @property
    def compiles_sizes(self) -> bool:
        """Whether the first batch of each size is slow, since a library then chooses how to compute it."""
        ...

    def encode(self, pixels: FloatArray) -> Features[Any]:
        """Encode pixels ``[B, 3, H, W]``."""
        ...

    def vectors(self, features: Features[Any]) -> FloatArray:
        """Return the image vectors ``[B, P]`` as an array of NumPy."""
        ...

    def prepare(self, features: Features[Any]) -> MemoryT:
        """Compute once what every step needs of the images."""
        ...

    def inspect(self, tokens: IntArray, memory: MemoryT, state: RowStateT) -> dict[str, FloatArray]:
        """Read whole captions ``[R, T]`` and return what goes on in every cell.

        Returns:
            ``[R, T, N]`` activations by name: which stack of cells, which layer, which gate or state
            (``"language.0.forget"``).
        """
        ...


AnySteps = Steppable[Any, Any]


@dataclass(frozen=True)
class Hypothesis:
    """One token sequence that search found for one image.

    Attributes:
        tokens: T token ids after ``<START>``; the last one is ``<END>`` if and only if ``finished``.
        token_logprobs: T natural-log probabilities, one per token.
        attention: ``[T, L]`` weights with which each token was chosen, or ``None`` without attention.
        finished: False if the sequence was cut at the maximum length.
    """

    tokens: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    attention: FloatArray | None
    finished: bool

    @property
    def log_prob(self) -> float:
        """The natural-log probability of the whole sequence, ``<END>`` included when it ended."""
        return sum(self.token_logprobs)


@dataclass(frozen=True)
class Word:
    """One word of a caption.

    Attributes:
        text: The word as it stands in the caption.
        log_prob: Natural-log probability of the word given the image and the words before it.
        known: False for a word of a scored text that the vocabulary does not have; its probability is then that of
            ``<UNK>``, of any rare word at all.
        confidence: The calibrated probability that the word is right (docs/evaluation.md says what that means);
            ``None`` if the model is not calibrated or the word is not known.
    """

    text: str
    log_prob: float
    known: bool = True
    confidence: float | None = None


@dataclass(frozen=True)
class Caption:
    """A caption of one image, with what the model can say about it.

    Attributes:
        text: The words, joined.
        words: The T words in order.
        log_prob: Natural-log probability of the whole caption, that of its ending included.
        attention: ``[T, rows, cols]`` float32, one map per word that sums to one, or ``None`` without attention. Cell
            (row, col) covers that part of the upright image, since the image is squashed to the square that is seen.
            Of several frames that were seen as one picture ``[T, frames, rows, cols]``.
        finished: False if the caption was cut at the maximum length.
        activations: When asked for, what went on inside for each word: a map from a name such as
            ``"language.0.forget"`` (which cells, which layer, which gate or state) to ``[T, N]`` float32. Row t belongs
            to the step that chose word t.
        confidence: The calibrated probability that the caption is good; ``None`` if the model is not calibrated, or for
            a text with a word that is not known.
        needs_review: Whether a person should look at the caption, since its confidence is below the calibration's
            threshold; ``None`` without a confidence.
    """

    text: str
    words: tuple[Word, ...]
    log_prob: float
    attention: NDArray[np.float32] | None
    finished: bool
    activations: Mapping[str, NDArray[np.float32]] | None = None
    confidence: float | None = None
    needs_review: bool | None = None
