"""What the decoders that are one network share."""

import torch
from torch import Tensor, nn

from captioner.config import DecoderConfig
from captioner.decoders.base import Decoder
from captioner.decoders.tied_output import TiedOutput
from captioner.errors import ConfigError
from captioner.types import Features, MemoryT, StateT


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
