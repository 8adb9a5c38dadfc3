"""What every decoder offers."""

from abc import ABC, abstractmethod
from typing import Generic

import torch
from torch import Tensor, nn

from captioner.config import DecoderConfig
from captioner.types import DecoderStep, Features, MemoryT, StateT


class Decoder(nn.Module, Generic[MemoryT, StateT], ABC):
    """A recurrent network that reads a token and scores the next, given images.

    Args:
        config: Its sizes.
        vector_size: P of the encoder.
        grid_size: D of the encoder.
        vocabulary_size: V.
    """

    def __init__(self, config: DecoderConfig, vector_size: int, grid_size: int, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.vector_size = vector_size
        self.grid_size = grid_size
        self.vocabulary_size = vocabulary_size

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return next(self.parameters()).device

    @abstractmethod
    def prepare(self, features: Features) -> MemoryT:
        """Compute once what every step needs of the images."""

    @abstractmethod
    def begin(self, memory: MemoryT, rows_per_image: int = 1) -> StateT:
        """Return the state before the first step, for ``B * rows_per_image`` rows."""

    @abstractmethod
    def step(self, tokens: Tensor, memory: MemoryT, state: StateT) -> DecoderStep[StateT]:
        """Read one token per row (``[R]`` ids) and score the next."""

    @abstractmethod
    def teacher_force(self, tokens: Tensor, memory: MemoryT) -> tuple[Tensor, Tensor | None]:
        """Read whole captions, as ``step`` in a loop would.

        Args:
            tokens: ``[R, T]`` ids that start with ``<START>``.
            memory: The B images; R is a multiple of B.

        Returns:
            Logits ``[R, T, V]`` of the token after each one read, and attention ``[R, T, L]`` or ``None``.
        """
