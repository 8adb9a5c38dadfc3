"""The decoder of Xu et al. 2015 ("Show, Attend and Tell") with soft attention."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from captioner.attention import AdditiveAttention, AttentionMemory
from captioner.config import DecoderConfig
from captioner.decoders.base import SingleDecoder
from captioner.stack import CellStack, StackMemory, StackState
from captioner.types import DecoderRun, DecoderStep, Features


@dataclass(frozen=True)
class SoftAttentionMemory:
    """The images as the decoder needs them: what they are to the cells, and keys and values of the grid."""

    language: StackMemory
    attention: AttentionMemory

    def select(self, images: Tensor) -> "SoftAttentionMemory":
        """Return the memory of the given images ``[B']``."""
        return SoftAttentionMemory(self.language.select(images), self.attention.select(images))


class SoftAttentionDecoder(SingleDecoder[SoftAttentionMemory, StackState]):
    """Cells that look at the grid before each step, with a gate on what they see, and a deep output.

    The hidden vector before the step asks the attention for a context vector z (eq. 4 to 6); a gate ``sigma(f(h))``,
    one number per channel, says how much of it counts (section 4.2.1 has one number for all); the cells read the word
    and the gated context (eq. 1); the next word is scored from ``E y + L_h h + L_z z`` (eq. 7). The paper has
    ``cell = "lstm"`` and ``condition = "initial_state"``, with the mean annotation vector as the image vector.
    """

    def __init__(self, config: DecoderConfig, vector_size: int, grid_size: int, vocabulary_size: int) -> None:
        super().__init__(config, vector_size, grid_size, vocabulary_size, output_size=config.embedding_size)
        units = config.hidden_size
        self.language = CellStack(config, config.embedding_size, units)
        self.attention = AdditiveAttention(grid_size, units, config.attention_size)
        self.gate = nn.Linear(units, grid_size)
        self.context = nn.Linear(grid_size, self.language.bottom.gates * units, bias=False)
        self.output_hidden = nn.Linear(units, config.embedding_size)
        self.output_context = nn.Linear(grid_size, config.embedding_size, bias=False)

    def prepare(self, features: Features) -> SoftAttentionMemory:
        """Project the vector to what the cells need of it, and the grid to keys."""
        grid = self.dropout(features.require_grid())  # [B, L, D]
        return SoftAttentionMemory(self.language.prepare(self._image(features)), self.attention.prepare(grid))

    def begin(self, memory: SoftAttentionMemory, rows_per_image: int = 1) -> StackState:
        """Return the state before the first step, for ``B * rows_per_image`` rows."""
        return self.language.begin(memory.language, rows_per_image)

    def step(self, tokens: Tensor, memory: SoftAttentionMemory, state: StackState) -> DecoderStep[StackState]:
        """Read one token per row and score the next."""
        words = self._embed(tokens)  # [R, E]
        drive = self.language.read(words, memory.language)
        output, context, weights, state = self._advance(drive, memory, state)
        return DecoderStep(self._tell(words, output, context), weights, state)

    def teacher_force(self, tokens: Tensor, memory: SoftAttentionMemory, state: StackState) -> DecoderRun[StackState]:
        """Read whole captions; words are read and scored for all steps at once, the recurrence runs in a loop."""
        words = self._embed(tokens.t())  # [T, R, E]
        steps = []
        for drive in self.language.read(words, memory.language):
            *seen, state = self._advance(drive, memory, state)
            steps.append(seen)
        outputs, contexts, weights = (torch.stack(column, dim=1) for column in zip(*steps, strict=True))
        return DecoderRun(self._tell(words.transpose(0, 1), outputs, contexts), weights, state)

    def _advance(
        self, drive: Tensor, memory: SoftAttentionMemory, state: StackState
    ) -> tuple[Tensor, Tensor, Tensor, StackState]:
        """Look, then take one step; return output ``[R, N]``, context ``[R, D]``, weights ``[R, L]``, state."""
        context, weights = self.attention(state.hidden, memory.attention)
        context = torch.sigmoid(self.gate(state.hidden)) * context
        output, state = self.language(drive + self.context(context), state)
        return output, context, weights, state

    def _tell(self, words: Tensor, outputs: Tensor, contexts: Tensor) -> Tensor:
        """Score the next word from the last one, the cells and the context (eq. 7)."""
        return self._score(words + self.output_hidden(self.dropout(outputs)) + self.output_context(contexts))
