"""Scores of the next word by the word vectors themselves."""

from torch import Tensor, nn
from torch.nn import functional as F


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
