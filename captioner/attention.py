"""Additive soft attention over a grid of annotation vectors."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class AttentionMemory:
    """What attention needs of the images, computed once.

    Attributes:
        keys: ``[B, L, A]``, the locations projected to the attention size.
        values: ``[B, L, D]``, the locations that the context vector is a mean of.
    """

    keys: Tensor
    values: Tensor

    def select(self, images: Tensor) -> "AttentionMemory":
        """Return the memory of the given images ``[B']``."""
        return AttentionMemory(self.keys[images], self.values[images])


class AdditiveAttention(nn.Module):
    """Soft attention whose score is a small network: ``e_l = w . tanh(W_v v_l + W_h h)``.

    Bahdanau et al. 2015, as used for images by Xu et al. 2015 ("Show, Attend and Tell", eq. 4-6 and 13).

    Args:
        value_size: D, the length of a location's vector.
        query_size: N, the length of the hidden vector that asks.
        attention_size: A, units of the small network.
    """

    def __init__(self, value_size: int, query_size: int, attention_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(value_size, attention_size)
        self.query = nn.Linear(query_size, attention_size, bias=False)
        self.score = nn.Linear(attention_size, 1, bias=False)  # a bias would cancel in the softmax

    def prepare(self, values: Tensor) -> AttentionMemory:
        """Project the locations ``[B, L, D]`` to keys, once per image."""
        return AttentionMemory(keys=self.key(values), values=values)

    def forward(self, hidden: Tensor, memory: AttentionMemory) -> tuple[Tensor, Tensor]:
        """Look at the images.

        Args:
            hidden: ``[R, N]``; row ``r`` asks about image ``r // (R // B)``: the rows of an image share its keys.
            memory: The B images.

        Returns:
            The context vectors ``[R, D]`` and the weights ``[R, L]``, which sum to one along L.
        """
        images = memory.keys.shape[0]
        query = self.query(hidden).unflatten(0, (images, -1)).unsqueeze(2)  # [B, R/B, 1, A]
        scores = self.score(torch.tanh(memory.keys.unsqueeze(1) + query))  # [B, R/B, L, 1]
        weights = scores.squeeze(3).float().softmax(dim=2)  # [B, R/B, L]
        context = weights.to(memory.values.dtype) @ memory.values  # [B, R/B, D]
        return context.flatten(0, 1), weights.flatten(0, 1)
