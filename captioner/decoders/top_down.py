"""The two-LSTM top-down decoder (Anderson et al. 2018, "Bottom-Up and Top-Down Attention")."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from captioner.attention import AdditiveAttention, AttentionMemory
from captioner.cells import init_forget_bias, lstm_update
from captioner.config import DecoderConfig
from captioner.decoders.base import Decoder
from captioner.types import DecoderStep, Features


@dataclass(frozen=True)
class TopDownMemory:
    """The images as the decoder needs them.

    Attributes:
        gates: ``[B, 4N]``, what the image vector adds to the attention LSTM's gates at every step.
        attention: Keys and values of the projected grid.
    """

    gates: Tensor
    attention: AttentionMemory


@dataclass(frozen=True)
class TopDownState:
    """Hidden and cell vectors ``[R, N]`` of the attention LSTM and the language LSTM."""

    attention_hidden: Tensor
    attention_cell: Tensor
    language_hidden: Tensor
    language_cell: Tensor

    def select(self, rows: Tensor) -> "TopDownState":
        """Return the state of the given rows ``[R']``."""
        return TopDownState(*(getattr(self, field.name)[rows] for field in fields(self)))


class TopDownDecoder(Decoder[TopDownMemory, TopDownState]):
    """One LSTM decides where to look, a second one what to say.

    At each step the attention LSTM reads the language LSTM's last hidden vector, the image vector and the word; its
    hidden vector asks the attention; the language LSTM reads the context vector and that hidden vector, and its own
    hidden vector scores the next word (section 3.2 of the paper).
    """

    def __init__(self, config: DecoderConfig, vector_size: int, grid_size: int, vocabulary_size: int) -> None:
        super().__init__(config, vector_size, grid_size, vocabulary_size)
        units = config.hidden_size
        self.project_vector = nn.Linear(vector_size, units)
        self.project_grid = nn.Linear(grid_size, units)
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
        # The attention LSTM's affine map in three parts: in training the words are known for all steps at once, the
        # image is the same at every step, and only the recurrent part must wait for the step before.
        self.attention_word = nn.Linear(config.embedding_size, 4 * units)
        self.attention_image = nn.Linear(units, 4 * units, bias=False)
        self.attention_recurrent = nn.Linear(2 * units, 4 * units, bias=False)
        self.attention = AdditiveAttention(units, units, config.attention_size)
        self.language = nn.Linear(3 * units, 4 * units)
        self.output = nn.Linear(units, vocabulary_size)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=0.1)
        nn.init.zeros_(self.output.bias)
        init_forget_bias(self.attention_word)
        init_forget_bias(self.language)

    def prepare(self, features: Features) -> TopDownMemory:
        """Project vector and grid to the hidden size, the vector to gates, and the grid to keys."""
        vector = self.dropout(torch.relu(self.project_vector(features.vector)))  # [B, N]
        grid = self.dropout(torch.relu(self.project_grid(features.grid)))  # [B, L, N]
        return TopDownMemory(self.attention_image(vector), self.attention.prepare(grid))

    def begin(self, memory: TopDownMemory, rows_per_image: int = 1) -> TopDownState:
        """Return zeros for ``B * rows_per_image`` rows."""
        rows = memory.gates.shape[0] * rows_per_image
        zeros = torch.zeros(rows, self.config.hidden_size, device=self.device)
        return TopDownState(zeros, zeros, zeros, zeros)

    def step(self, tokens: Tensor, memory: TopDownMemory, state: TopDownState) -> DecoderStep[TopDownState]:
        """Read one token per row and score the next."""
        state, weights = self._advance(self._read(tokens, memory), memory, state)
        return DecoderStep(self._score(state.language_hidden), weights, state)

    def teacher_force(self, tokens: Tensor, memory: TopDownMemory) -> tuple[Tensor, Tensor | None]:
        """Read whole captions; words are read and scored for all steps at once, the recurrence runs in a loop."""
        state = self.begin(memory, tokens.shape[0] // memory.gates.shape[0])
        hidden, weights = [], []
        for gates in self._read(tokens.t(), memory):
            state, attention = self._advance(gates, memory, state)
            hidden.append(state.language_hidden)
            weights.append(attention)
        return self._score(torch.stack(hidden, dim=1)), torch.stack(weights, dim=1)

    def _read(self, tokens: Tensor, memory: TopDownMemory) -> Tensor:
        """Return what tokens ``[..., R]`` and their images add to the attention LSTM's gates, ``[..., R, 4N]``."""
        words = self.attention_word(self.dropout(self.embedding(tokens)))  # [..., R, 4N]
        by_image = words.unflatten(-2, (memory.gates.shape[0], -1))  # [..., B, R/B, 4N]
        gates: Tensor = (by_image + memory.gates.unsqueeze(1)).flatten(-3, -2)
        return gates

    def _score(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(hidden))  # [..., V]
        return logits

    def _advance(self, gates: Tensor, memory: TopDownMemory, state: TopDownState) -> tuple[TopDownState, Tensor]:
        """Run both LSTMs on what was read, ``[R, 4N]``; return the state after, and the weights ``[R, L]``."""
        before = torch.cat([state.language_hidden, state.attention_hidden], dim=1)  # [R, 2N]
        hidden, cell = lstm_update(gates + self.attention_recurrent(before), state.attention_cell)
        context, weights = self.attention(hidden, memory.attention)
        told = torch.cat([context, hidden, state.language_hidden], dim=1)  # [R, 3N]
        language, language_cell = lstm_update(self.language(told), state.language_cell)
        return TopDownState(hidden, cell, language, language_cell), weights
