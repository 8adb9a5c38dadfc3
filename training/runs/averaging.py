"""The moving average of weights that a run validates and keeps."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage(AveragedModel):
    """An exponential moving average of a network's weights that forgets where it began.

    At a decay of 0.998 an average looks back on about 500 steps. Where there were fewer it would mostly consist of the
    weights it began with, which are random. The decay therefore climbs with the number n of averaged steps,
    ``min(decay, (1 + n) / (10 + n))``, so that the average never looks back on more than about a ninth of them.

    A phase that starts from the average begins a new one (:meth:`begin`): what another loss has taught may be millions
    of steps old, and the first steps of a phase are as few as those of a run. The count is a buffer, so that a run that
    is resumed goes on with it.

    Args:
        network: Whose weights are averaged; the average starts as a copy of it.
        decay: The largest decay per step, from 0, which keeps the weights themselves, up to 1.
        buffers: Whether to average batch norms' statistics, too, rather than to copy them.
    """

    def __init__(self, network: nn.Module, decay: float, *, buffers: bool = False) -> None:
        super().__init__(network, multi_avg_fn=_ramped(decay), use_buffers=buffers)

    def begin(self) -> None:
        """Forget all steps: the next one's weights are the average."""
        self.n_averaged.zero_()


def ramped_decay(decay: float, steps: int) -> float:
    """Return the decay of a step, given how many steps were averaged before it."""
    return min(decay, (1 + steps) / (10 + steps))


def _ramped(decay: float) -> Any:
    """Return what :class:`AveragedModel` calls to bring its weights up to date."""

    @torch.no_grad()
    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], steps: Tensor | int) -> None:
        update_by = get_ema_multi_avg_fn(ramped_decay(decay, int(steps)))  # type: ignore[no-untyped-call]
        update_by(averages, weights, steps)

    return update
