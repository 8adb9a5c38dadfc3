"""What every decoder offers."""

from abc import ABC, abstractmethod
from functools import partial
from typing import Generic, cast

import torch
from torch import Tensor, nn

from captioner.cells import Cell, CellState
from captioner.config import DecoderConfig
from captioner.types import DecoderRun, DecoderStep, Features, MemoryT, StateT


class Decoder(nn.Module, Generic[MemoryT, StateT], ABC):
    """A recurrent network that reads a token and scores the next, given images; or several that do so together.

    Args:
        config: Its sizes.

    Attributes:
        attends: Whether it looks at the grid.
    """

    attends: bool = True

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config

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
    def teacher_force(self, tokens: Tensor, memory: MemoryT, state: StateT) -> DecoderRun[StateT]:
        """Read whole captions, as ``step`` in a loop would.

        Args:
            tokens: ``[R, T]`` ids; R is a multiple of B.
            memory: The B images.
            state: The state before the first token, from :meth:`begin` or from a run before this one.
        """

    @torch.no_grad()
    def inspect(self, tokens: Tensor, memory: MemoryT, state: StateT) -> dict[str, Tensor]:
        """Read whole captions and return what goes on in every cell.

        Args:
            tokens: ``[R, T]`` ids; R is a multiple of B.
            memory: The B images.
            state: The state before the first token.

        Returns:
            ``[R, T, N]`` activations by name: which stack of cells, which layer, which gate or state
            (``"language.0.forget"``).
        """
        record: dict[str, list[Tensor]] = {}
        cells = {name.replace(".cells", ""): cell for name, cell in self.named_modules() if isinstance(cell, Cell)}
        hooks = [cell.register_forward_pre_hook(partial(_note, record, name)) for name, cell in cells.items()]
        try:
            for column in tokens.unbind(1):
                state = self.step(column, memory, state).state
        finally:
            for hook in hooks:
                hook.remove()
        return {name: torch.stack(values, dim=1) for name, values in record.items()}


def _note(record: dict[str, list[Tensor]], name: str, cell: nn.Module, arguments: tuple[Tensor, CellState]) -> None:
    """Add to a record what goes on in a cell that is about to take a step."""
    for unit, values in cast("Cell", cell).activations(*arguments).items():
        record.setdefault(f"{name}.{unit}", []).append(values)
