"""Cells on top of each other, which learn of the image in one of the three classic ways."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from captioner.cells import CELLS, Cell, CellState
from captioner.config import DecoderConfig


@dataclass(frozen=True)
class StackState:
    """The state of every layer, bottom first; ``[R, N]`` each."""

    layers: tuple[CellState, ...]

    @property
    def hidden(self) -> Tensor:
        """The top layer's hidden vector, ``[R, N]``."""
        return self.layers[-1][0]

    def select(self, rows: Tensor) -> "StackState":
        """Return the state of the given rows ``[R']``."""
        return StackState(tuple(tuple(vector[rows] for vector in layer) for layer in self.layers))

    def detach(self) -> "StackState":
        """Return the state cut off from what made it."""
        return StackState(tuple(tuple(vector.detach() for vector in layer) for layer in self.layers))


@dataclass(frozen=True)
class StackMemory:
    """What a stack needs of B images, computed once.

    Attributes:
        images: B.
        vector: ``[B, M]``, the images, if the bottom cell has an image term.
        drive: ``[B, G * N]``, what they add to its gates at every step.
        state: The state before the first word, if the images make it; else it is zero.
    """

    images: int
    vector: Tensor | None = None
    drive: Tensor | None = None
    state: StackState | None = None

    def select(self, images: Tensor) -> "StackMemory":
        """Return the memory of the given images ``[B']``."""
        return StackMemory(
            len(images),
            vector=None if self.vector is None else self.vector[images],
            drive=None if self.drive is None else self.drive[images],
            state=None if self.state is None else self.state.select(images),
        )


class CellStack(nn.Module):
    """One to four cells of a kind, each reading the one below.

    The image term is added to the bottom cell at every step (as in the Stanford lectures; Karpathy and Fei-Fei 2015 add
    it at the first), or the image makes the initial state of all layers (Xu et al. 2015, section 3.1.2, here by one
    affine map and tanh), or it is read like a word before the first one (Vinyals et al. 2015).

    Args:
        config: Which cell, how many layers and units, how conditioned, what dropout between layers, residual or not.
        input_size: I, the length of what the bottom cell reads.
        image_size: M, the length of the image vector; 0 for a stack that does not see the image.
        layers: How many cells; those of the configuration if left out.
    """

    def __init__(self, config: DecoderConfig, input_size: int, image_size: int = 0, layers: int | None = None) -> None:
        super().__init__()
        count, units = layers or config.layers, config.hidden_size
        build = CELLS[config.cell]
        term = image_size if config.condition == "every_step" else 0
        bottom = build(input_size, units, term)
        self.cells = nn.ModuleList([bottom, *(build(units, units) for _ in range(count - 1))])
        self.residual = config.residual
        self.dropout = nn.Dropout(config.dropout)
        self.initial: nn.Linear | None = None
        self.first: nn.Linear | None = None
        if image_size and config.condition == "initial_state":
            self.initial = nn.Linear(image_size, count * build.state_size * units)
        if image_size and config.condition == "first_input":
            self.first = nn.Linear(image_size, input_size)

    @property
    def layers(self) -> list[Cell]:
        """The cells, bottom first."""
        return cast("list[Cell]", list(self.cells))

    @property
    def bottom(self) -> Cell:
        """The cell that reads the input."""
        return self.layers[0]

    def prepare(self, vector: Tensor) -> StackMemory:
        """Compute once what image vectors ``[B, M]`` mean to the stack."""
        images = vector.shape[0]
        if self.bottom.image is not None:
            return StackMemory(images, vector=vector, drive=self.bottom.image(vector))
        if self.initial is not None:
            state = torch.tanh(self.initial(vector)).to(self.initial.weight.dtype)
            size, vectors = self.bottom.state_size, state.chunk(self.initial.out_features // self.bottom.hidden_size, 1)
            layers = (vectors[start : start + size] for start in range(0, len(vectors), size))
            return StackMemory(images, state=StackState(tuple(layers)))
        if self.first is not None:
            memory = StackMemory(images)
            _, state = self(self.read(self.first(vector), memory), self.begin(memory))
            return StackMemory(images, state=state)
        return StackMemory(images)

    def begin(self, memory: StackMemory, rows_per_image: int = 1) -> StackState:
        """Return the state before the first word, for ``B * rows_per_image`` rows."""
        if memory.state is None:
            rows = memory.images * rows_per_image
            return StackState(tuple(cell.initial(rows) for cell in self.layers))
        rows_of = torch.arange(memory.images, device=memory.state.hidden.device).repeat_interleave(rows_per_image)
        return memory.state.select(rows_of)

    def read(self, inputs: Tensor, memory: StackMemory) -> Tensor:
        """Return the bottom cell's drive ``[..., R, G * N]`` from inputs ``[..., R, I]`` and the rows' images."""
        drive: Tensor = self.bottom.input(inputs)
        if memory.drive is None:
            return drive
        by_image = drive.reshape(*drive.shape[:-2], memory.drive.shape[0], -1, drive.shape[-1])  # [..., B, R/B, G * N]
        return (by_image + memory.drive.unsqueeze(1)).flatten(-3, -2)

    def forward(self, drive: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """Take one step; return the output ``[R, N]`` and the state after.

        Args:
            drive: ``[R, G * N]`` of the bottom cell.
            state: The state before the step.
        """
        layers = [self.bottom(drive, state.layers[0])]
        output = layers[0][0]
        for cell, before in zip(self.layers[1:], state.layers[1:], strict=True):
            inputs = self.dropout(output)
            layers.append(cell(cell.input(inputs), before))
            output = layers[-1][0] + inputs if self.residual else layers[-1][0]
        return output, StackState(tuple(layers))

    def run(self, inputs: Tensor, memory: StackMemory, state: StackState) -> tuple[Tensor, StackState]:
        """Take T steps at once; return outputs ``[R, T, N]`` and the state after.

        Args:
            inputs: ``[R, T, I]`` of the bottom cell.
            memory: The rows' images.
            state: The state before the first step.
        """
        output, last = self._run_bottom(inputs, memory, state.layers[0])
        layers = [last]
        for cell, before in zip(self.layers[1:], state.layers[1:], strict=True):
            below = self.dropout(output)
            hidden, last = cell.run(below, before)
            layers.append(last)
            output = hidden + below if self.residual else hidden
        return output, StackState(tuple(layers))

    def _run_bottom(self, inputs: Tensor, memory: StackMemory, state: CellState) -> tuple[Tensor, CellState]:
        """Run the bottom cell, with an image term either fused or step by step.

        The fused layer would multiply the image by its weights again at every step. On a CPU, where starting an
        operation costs little, a loop around the drive computed once is up to 1.6 times as fast.
        """
        if memory.vector is None:
            return self.bottom.run(inputs, state)
        if inputs.is_cuda:
            return self.bottom.run(inputs, state, memory.vector.repeat_interleave(len(inputs) // memory.images, dim=0))
        hidden = []
        for drive in self.read(inputs.transpose(0, 1), memory):
            state = self.bottom(drive, state)
            hidden.append(state[0])
        return torch.stack(hidden, dim=1), state
