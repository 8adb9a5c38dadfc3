"""AdamW as every run uses it."""

import torch
from torch import nn

from training.recipe import LearningRecipe


def adamw(network: nn.Module, training: LearningRecipe) -> torch.optim.AdamW:
    """Return the optimizer of a network; weight decay is for matrices, biases are left alone."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": training.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)
