"""AdamW as every run uses it."""

from collections.abc import Iterable

import torch
from torch import nn


def adamw(modules: Iterable[nn.Module], weight_decay: float) -> torch.optim.AdamW:
    """Return the optimizer of some modules, two parameter groups for each: its matrices, and then the rest.

    Weight decay is for matrices; biases are left alone. The learning rates are zero until somebody sets them.
    """
    groups: list[dict[str, object]] = []
    for module in modules:
        parameters = list(module.parameters())
        groups.append({"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay})
        groups.append({"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=0.0, fused=True)
