"""The decoder's rows during a search."""

import torch
from torch import Tensor

from captioner.decoding.constraints import Constraints
from captioner.decoding.task import Task
from captioner.decoding.trellis import Trellis


class Rows:
    """B images times K slots that write one token each per step; what every search has in common.

    Args:
        task: What to search.
        slots: K.

    Attributes:
        written: ``[B, K, T]``, the tokens so far.
        trellis: The steps so far.
    """

    def __init__(self, task: Task, slots: int) -> None:
        device = task.decoder.device
        self.task = task
        self.trellis = Trellis(task.special.eos_id)
        self.written = torch.empty(task.batch_size, slots, 0, dtype=torch.long, device=device)
        self._constraints = Constraints(task.special, task.options, device)
        self._state = task.decoder.begin(task.memory, slots)
        self._tokens = torch.full((task.batch_size, slots), task.special.bos_id, device=device)
        self._stay = torch.arange(slots, device=device).expand(task.batch_size, slots)  # [B, K]
        self._first_rows = torch.arange(task.batch_size, device=device)[:, None] * slots  # [B, 1]

    def begin(self) -> Tensor:
        """Write the beginning into all slots; return its log-probability, ``[B, K]``."""
        log_prob = torch.zeros(self._tokens.shape, device=self._tokens.device)
        for token in self.task.beginning:
            token_log_prob = self._read()[:, :, token]
            log_prob = log_prob + token_log_prob
            self.write(torch.full_like(self._tokens, token), token_log_prob)
        return log_prob

    def score(self) -> Tensor:
        """Read the last tokens; return the next one's natural-log probabilities ``[B, K, V]``.

        They are normalised over the whole vocabulary, so that a log-probability means the same as in training; only
        then are forbidden tokens made impossible.
        """
        return self._constraints.apply(self._read(), self.written)

    def write(self, tokens: Tensor, log_probs: Tensor, parents: Tensor | None = None) -> None:
        """Write one token per slot, after what the parent slots hold; all arguments are ``[B, K]``.

        Without parents each slot goes on by itself.
        """
        self.trellis.extend(self._stay if parents is None else parents, tokens, log_probs)
        if parents is not None:
            self._state = self._state.select((self._first_rows + parents).flatten())
            self.written = self.written.gather(1, parents[:, :, None].expand_as(self.written))
        self.written = torch.cat([self.written, tokens[:, :, None]], dim=2)
        self._tokens = tokens

    def _read(self) -> Tensor:
        step = self.task.decoder.step(self._tokens.flatten(), self.task.memory, self._state)
        self._state = step.state
        self.trellis.look(step.attention, self.task.batch_size)
        log_probs: Tensor = step.logits.float().log_softmax(dim=-1)
        return log_probs.view(*self._tokens.shape, -1)  # [B, K, V]
