"""Untrained networks whose outputs nevertheless differ from picture to picture."""

import torch
from torch import nn


def calibrate(network: nn.Module, size: int = 64) -> None:
    """Give batch norms the statistics of noise; with fresh ones, deep untrained networks answer zero to everything."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(torch.randn(8, 3, size, size, generator=torch.Generator().manual_seed(0)))
    for norm in norms:
        norm.momentum = 0.1
    network.eval()
