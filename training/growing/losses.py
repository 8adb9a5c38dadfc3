"""What keeps a growing model near what it was."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def kept_words(logits: Tensor, before: Tensor, targets: Tensor, pad_id: int) -> Tensor:
    """Return the mean over words of the divergence of a new model's words from the old model's.

    ``KL(p || q)`` of the old distribution p, which gives new words nothing, from the new one q (Hinton et al. 2015; Li
    and Hoiem 2016 use it against forgetting). Where the next word of the caption is a new one, p is that word.

    Args:
        logits: ``[R, T, W]`` of the new model.
        before: ``[R, T, V]`` of the old one, V at most W.
        targets: ``[R, T]``, the next words; those equal to ``pad_id`` do not count.
        pad_id: The id of padding.
    """
    known = before.shape[2]
    read = targets != pad_id
    log_q = logits[read].float().log_softmax(dim=1)  # [N, W]
    log_p = before[read].float().log_softmax(dim=1)  # [N, V]
    divergence = (log_p.exp() * (log_p - log_q[:, :known])).sum(dim=1)
    new = targets[read]
    surprise = -log_q.gather(1, new[:, None]).squeeze(1)
    return torch.where(new >= known, surprise, divergence).mean()


def distance(network: nn.Module, start: Mapping[str, Tensor]) -> Tensor:
    """Return half the squared distance of weights from where they started (L2-SP: Li, Grandvalet and Davoine 2018).

    Args:
        network: Whose weights learn.
        start: Where those that count started, by name; of a matrix that has grown, its old rows.
    """
    weights = dict(network.named_parameters())
    return torch.stack([(weights[name][: len(kept)] - kept).square().sum() for name, kept in start.items()]).sum() / 2
