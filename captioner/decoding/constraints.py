"""Which tokens may come next."""

import torch
from torch import Tensor

from captioner.decoding.options import DecodingOptions
from captioner.decoding.special import SpecialTokens

IMPOSSIBLE = -1e9  # below every real log-probability, yet safe to add to: -inf minus -inf is not a number
POSSIBLE = IMPOSSIBLE / 2  # sums of real log-probabilities stay above it
UNLIKELY = -1e4  # lets a caption end where nothing else is left, even with a model that gives <END> no probability


class Constraints:
    """Makes tokens impossible: banned ones, an end before the minimum length, and those that repeat an n-gram."""

    def __init__(self, special: SpecialTokens, options: DecodingOptions, device: torch.device) -> None:
        self._eos_id = special.eos_id
        self._banned = torch.tensor(special.banned, dtype=torch.long, device=device)
        self._min_length = options.min_length
        self._ngram_size = options.no_repeat_ngram_size

    def apply(self, log_probs: Tensor, written: Tensor) -> Tensor:
        """Make log-probabilities ``[B, K, V]`` of forbidden tokens impossible, in place, and return them.

        ``<END>`` is allowed wherever no other token is.

        Args:
            log_probs: Of the next token.
            written: ``[B, K, T]``, the tokens so far.
        """
        log_probs.index_fill_(2, self._banned, IMPOSSIBLE)
        length = written.shape[2]
        if length >= self._min_length and not self._ngram_size:
            return log_probs
        end = log_probs[:, :, self._eos_id].clone()  # [B, K]
        log_probs[:, :, self._eos_id] = IMPOSSIBLE
        if 0 < self._ngram_size <= length:
            _block_repeats(log_probs, written, self._ngram_size)
        stuck = log_probs.amax(dim=2) < POSSIBLE  # [B, K]
        early = end if length >= self._min_length else torch.full_like(end, IMPOSSIBLE)
        log_probs[:, :, self._eos_id] = torch.where(stuck, end.clamp(min=UNLIKELY), early)
        return log_probs


def _block_repeats(log_probs: Tensor, written: Tensor, size: int) -> None:
    """Make tokens impossible that would end an n-gram already in ``written [B, K, T]``, with T at least its size."""
    ngrams = written.unfold(2, size, 1)  # [B, K, T - size + 1, size]
    recent = written[:, :, written.shape[2] - size + 1 :].unsqueeze(2)  # [B, K, 1, size - 1]
    begun = (ngrams[..., :-1] == recent).all(dim=3)  # [B, K, T - size + 1]; all of them when the size is 1
    # A log-probability is never above zero, so that the smaller of it and zero is itself.
    log_probs.scatter_reduce_(2, ngrams[..., -1], begun * IMPOSSIBLE, reduce="amin")
