"""The two-layer top-down decoder (Anderson et al. 2018, "Bottom-Up and Top-Down Attention")."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from captioner.attention import AdditiveAttention, AttentionMemory
from captioner.config import DecoderConfig
from captioner.decoders.base import SingleDecoder
from captioner.stack import CellStack, StackMemory, StackState
from captioner.types import DecoderRun, DecoderStep, Features


@dataclass(frozen=True)
class TopDownMemory:
    """The images as the decoder needs them: what they are to both stacks, and keys and values of the projected grid."""

    looking: StackMemory
    language: StackMemory
    attention: AttentionMemory

    def select(self, images: Tensor) -> "TopDownMemory":
        """Return the memory of the given images ``[B']``."""
        language = self.language.select(images)
        return TopDownMemory(self.looking.select(images), language, self.attention.select(images))


@dataclass(frozen=True)
class TopDownState:
    """The states of the cell that decides where to look and of the cells that decide what to say."""

    looking: StackState
    language: StackState

    def select(self, rows: Tensor) -> "TopDownState":
        """Return the state of the given rows ``[R']``."""
        return TopDownState(self.looking.select(rows), self.language.select(rows))

    def detach(self) -> "TopDownState":
        """Return the state cut off from what made it."""
        return TopDownState(self.looking.detach(), self.language.detach())


class TopDownDecoder(SingleDecoder[TopDownMemory, TopDownState]):
    """One cell decides where to look, further ones what to say.

    At each step the looking cell reads the language cells' last hidden vector, the image vector and the word; its
    hidden vector asks the attention; the language cells read the context vector and that hidden vector, and their own
    hidden vector scores the next word (section 3.2 of the paper, which has LSTM cells, one of each).
    """

    def __init__(self, config: DecoderConfig, vector_size: int, grid_size: int, vocabulary_size: int) -> None:
        super().__init__(config, vector_size, grid_size, vocabulary_size)
        units = config.hidden_size
        self.project_grid = nn.Linear(grid_size, units)
        self.looking = CellStack(config, config.embedding_size, units, layers=1)
        self.feedback = nn.Linear(units, self.looking.bottom.gates * units, bias=False)
        self.attention = AdditiveAttention(units, units, config.attention_size)
        self.language = CellStack(config, 2 * units)

    def prepare(self, features: Features) -> TopDownMemory:
        """Project vector and grid to the hidden size, the vector to what the looking cell needs, the grid to keys."""
        looking = self.looking.prepare(self._image(features))
        grid = self.dropout(torch.relu(self.project_grid(features.require_grid())))  # [B, L, N]
        return TopDownMemory(looking, StackMemory(looking.images), self.attention.prepare(grid))

    def begin(self, memory: TopDownMemory, rows_per_image: int = 1) -> TopDownState:
        """Return the state before the first step, for ``B * rows_per_image`` rows."""
        return TopDownState(
            self.looking.begin(memory.looking, rows_per_image), self.language.begin(memory.language, rows_per_image)
        )

    def step(self, tokens: Tensor, memory: TopDownMemory, state: TopDownState) -> DecoderStep[TopDownState]:
        """Read one token per row and score the next."""
        drive = self.looking.read(self._embed(tokens), memory.looking)
        output, weights, state = self._advance(drive, memory, state)
        return DecoderStep(self._score(output), weights, state)

    def teacher_force(self, tokens: Tensor, memory: TopDownMemory, state: TopDownState) -> DecoderRun[TopDownState]:
        """Read whole captions; words are read and scored for all steps at once, the recurrence runs in a loop."""
        outputs, weights = [], []
        for drive in self.looking.read(self._embed(tokens.t()), memory.looking):
            output, attention, state = self._advance(drive, memory, state)
            outputs.append(output)
            weights.append(attention)
        return DecoderRun(self._score(torch.stack(outputs, dim=1)), torch.stack(weights, dim=1), state)

    def _advance(
        self, drive: Tensor, memory: TopDownMemory, state: TopDownState
    ) -> tuple[Tensor, Tensor, TopDownState]:
        """Look and speak, given the looking cell's drive; return output ``[R, N]``, weights ``[R, L]`` and state."""
        seen, looking = self.looking(drive + self.feedback(state.language.hidden), state.looking)
        context, weights = self.attention(seen, memory.attention)
        told = self.language.read(torch.cat([context, seen], dim=1), memory.language)
        output, language = self.language(told, state.language)
        return output, weights, TopDownState(looking, language)
