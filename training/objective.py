"""What training minimises."""

from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, targets: Tensor, pad_id: int, label_smoothing: float) -> Tensor:
    """Return the mean over all words of ``-sum_v q(v) log p(v)``, with q the smoothed target.

    With smoothing s, q puts ``1 - s + s/V`` on the target and ``s/V`` on every other token (Szegedy et al. 2016).

    Args:
        logits: ``[R, T, V]``.
        targets: ``[R, T]`` token ids; those equal to ``pad_id`` do not count.
        pad_id: The id of padding.
        label_smoothing: s, from 0 up to but not including 1.
    """
    return F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=pad_id, label_smoothing=label_smoothing
    )
