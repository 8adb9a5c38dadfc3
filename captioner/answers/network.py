"""The network that answers questions: a recurrent cell reads many to one, and attention looks at the grid for it."""

import torch
from torch import Tensor, nn

from captioner.answers.header import AnswerConfig
from captioner.attention import AdditiveAttention
from captioner.cells import CELLS, CellState
from captioner.types import Features


class AnswerNetwork(nn.Module):
    """From a question and the features of a photo to a distribution over answers.

    A cell reads the question; its last hidden vector ``q`` asks an attention, whose context is added to it, and the sum
    asks the next one, ``u_k = u_{k-1} + c_k`` (Yang et al. 2016, "Stacked Attention Networks for Image Question
    Answering"). What was seen, the photo's vector with it, and the question are then joined element by element
    (Anderson et al. 2018, section 3.3).

    Args:
        config: Its sizes.
        vocabulary_size: V of the questions' tokenizer.
        answers: How many answers there are.
        vector_size: P of the encoder.
        grid_size: D of the encoder.
    """

    def __init__(
        self, config: AnswerConfig, vocabulary_size: int, answers: int, vector_size: int, grid_size: int
    ) -> None:
        super().__init__()
        self.config = config
        units = config.hidden_size
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.reader = CELLS[config.cell](config.embedding_size, units)
        self.dropout = nn.Dropout(config.dropout)
        if config.sees:
            self.project_grid = nn.Linear(grid_size, units)
            self.project_vector = nn.Linear(vector_size, units)
            looks = (AdditiveAttention(units, units, config.attention_size) for _ in range(config.hops))
            self.attentions = nn.ModuleList(looks)
            self.seen = nn.Linear(2 * units, units)
        self.asked = nn.Linear(units, units)
        self.output = nn.Linear(units, answers)

    def begin(self, rows: int) -> CellState:
        """Return the state of R questions of which nothing is read."""
        return self.reader.initial(rows)

    def read(self, tokens: Tensor, state: CellState) -> CellState:
        """Read one word ``[R]`` of each question."""
        return self.reader(self.reader.input(self.embedding(tokens)), state)  # type: ignore[no-any-return]

    def ask(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Read whole questions ``[R, T]`` of ``lengths [R]`` words, padded at their ends; return ``q [R, N]``."""
        words = self.dropout(self.embedding(tokens))  # [R, T, E]
        hidden, _ = self.reader.run(words, self.begin(len(tokens)))  # [R, T, N]
        return hidden[torch.arange(len(tokens), device=tokens.device), lengths - 1]

    def look(self, question: Tensor, features: Features, photos: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Answer questions that were read.

        Args:
            question: ``[R, N]``.
            features: Of B photos.
            photos: ``[R]``, the photo of each question; ``None`` if each has its own.

        Returns:
            The logits of the answers ``[R, A]``, and the weights ``[R, L]`` of the last look, if it sees.
        """
        joined = torch.relu(self.asked(self.dropout(question)))
        if not self.config.sees:
            return self.output(self.dropout(joined)), None
        grid = self.dropout(torch.relu(self.project_grid(features.require_grid())))  # [B, L, N]
        whole = torch.relu(self.project_vector(features.vector))  # [B, N]
        asking, weights = question, None
        for attention in self.attentions:
            memory = attention.prepare(grid)  # type: ignore[operator]
            if photos is not None:
                memory = type(memory)(memory.keys[photos], memory.values[photos])
            context, weights = attention(asking, memory)
            asking = asking + context
        seen = torch.cat([asking - question, whole if photos is None else whole[photos]], dim=1)  # [R, 2N]
        joined = joined * torch.relu(self.seen(self.dropout(seen)))
        return self.output(self.dropout(joined)), weights

    def forward(
        self, tokens: Tensor, lengths: Tensor, features: Features, photos: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Read questions and answer them; see :meth:`ask` and :meth:`look`."""
        return self.look(self.ask(tokens, lengths), features, photos)
