"""The steps of a search, from which any hypothesis is read back."""

import torch
from torch import Tensor

from captioner.types import Hypothesis


class Trellis:
    """What was written at each step into K slots of B images, with the slot of the step before that each extends."""

    def __init__(self, eos_id: int) -> None:
        self._eos_id = eos_id
        self._attention: list[Tensor | None] = []  # per step [B, K, L], indexed by the slot that was extended
        self._steps: list[tuple[list[list[int]], list[list[int]], list[list[float]]]] = []

    def look(self, attention: Tensor | None, batch_size: int) -> None:
        """Note where the slots looked (``[B * K, L]``) when the tokens of this step were scored."""
        self._attention.append(
            None if attention is None else attention.float().reshape(batch_size, -1, attention.shape[1]).cpu()
        )

    def extend(self, parents: Tensor, tokens: Tensor, log_probs: Tensor) -> None:
        """Add a step's tokens; all arguments are ``[B, K]``."""
        self._steps.append((parents.tolist(), tokens.tolist(), log_probs.tolist()))

    def read(self, image: int, slot: int, length: int, end: float | None = None) -> Hypothesis:
        """Read the hypothesis that a slot of an image held after ``length`` tokens.

        Args:
            image: Index of the image.
            slot: Index of the slot.
            length: How many tokens had been written.
            end: The log-probability of ``<END>`` after them, if it ended there.
        """
        written = [] if end is None else [(self._eos_id, end, self._weights(length, image, slot))]
        for step in reversed(range(length)):
            parents, tokens, log_probs = self._steps[step]
            token, log_prob, slot = tokens[image][slot], log_probs[image][slot], parents[image][slot]
            written.append((token, log_prob, self._weights(step, image, slot)))
        written.reverse()
        maps = [weights for _, _, weights in written if weights is not None]
        return Hypothesis(
            tokens=tuple(token for token, _, _ in written),
            token_logprobs=tuple(log_prob for _, log_prob, _ in written),
            attention=torch.stack(maps) if maps else None,
            finished=end is not None,
        )

    def _weights(self, step: int, image: int, slot: int) -> Tensor | None:
        attention = self._attention[step]
        return None if attention is None else attention[image, slot]
