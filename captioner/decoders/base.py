"""What every decoder offers, and what those that are one network share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Generic, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.cells import Cell, CellState
from captioner.config import DecoderConfig
from captioner.errors import ConfigError
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
        with self.watched(record):
            for column in tokens.unbind(1):
                state = self.step(column, memory, state).state
        return {name: torch.stack(values, dim=1) for name, values in record.items()}

    @contextmanager
    def watched(self, record: dict[str, list[Tensor]]) -> Iterator[None]:
        """Note meanwhile what goes on in every cell, ``[R, N]`` per step under the names of :meth:`inspect`."""
        cells = {name.replace(".cells", ""): cell for name, cell in self.named_modules() if isinstance(cell, Cell)}
        hooks = [cell.register_forward_pre_hook(partial(_note, record, name)) for name, cell in cells.items()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _note(record: dict[str, list[Tensor]], name: str, cell: nn.Module, arguments: tuple[Tensor, CellState]) -> None:
    """Add to a record what goes on in a cell that is about to take a step."""
    for unit, values in cast("Cell", cell).activations(*arguments).items():
        record.setdefault(f"{name}.{unit}", []).append(values)


class SingleDecoder(Decoder[MemoryT, StateT]):
    """One network, with the layers that all of them have: the image's projection, word vectors, and scores of words.

    Args:
        config: Its sizes.
        vector_size: P of the encoder.
        grid_size: D of the encoder; 0 if it gives no grid, which only a decoder that does not attend can do with.
        vocabulary_size: V.
        output_size: The length of what the next token is scored from; N if left out.
    """

    def __init__(
        self,
        config: DecoderConfig,
        vector_size: int,
        grid_size: int,
        vocabulary_size: int,
        output_size: int | None = None,
    ) -> None:
        super().__init__(config)
        self.vector_size = vector_size
        self.grid_size = grid_size
        self.vocabulary_size = vocabulary_size
        self.project_vector = nn.Linear(vector_size, config.hidden_size)
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
        self.output = self._output(output_size or config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=0.1)
        nn.init.zeros_(self.output.bias)

    def _output(self, size: int) -> "nn.Linear | TiedOutput":
        if not self.config.tied:
            return nn.Linear(size, self.vocabulary_size)
        if size != self.config.embedding_size:
            raise ConfigError(
                f"decoder tied is true, but {self.config.name} scores words from vectors of {size} units; "
                f"embedding_size must be as many, not {self.config.embedding_size}"
            )
        return TiedOutput(self.embedding)

    def _embed(self, tokens: Tensor) -> Tensor:
        words: Tensor = self.dropout(self.embedding(tokens))  # [..., E]
        return words

    def _image(self, features: Features) -> Tensor:
        """Project the image vectors to the hidden size, ``[B, N]``."""
        vector: Tensor = self.dropout(torch.relu(self.project_vector(features.vector)))
        return vector

    def _score(self, told: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(told))  # [..., V]
        return logits


class TiedOutput(nn.Module):
    """An output layer without a matrix of its own: ``scores = E h + b`` (Press and Wolf 2017, arXiv:1608.05859).

    Args:
        embedding: E, ``[V, N]``. It belongs to the decoder and is saved and learns there, once.
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self._embedding = (embedding,)  # in a tuple, a module is not registered as a part a second time
        self.bias = nn.Parameter(embedding.weight.new_zeros(embedding.num_embeddings))

    def forward(self, hidden: Tensor) -> Tensor:
        """Score all words, ``[..., V]``, from vectors ``[..., N]``."""
        return F.linear(hidden, self._embedding[0].weight, self.bias)
