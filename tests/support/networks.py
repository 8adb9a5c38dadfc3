"""Untrained networks whose outputs nevertheless differ from picture to picture."""

import torch
from torch import nn

HUGE = 10_000_000  # weights that take seconds to draw one by one
TILE = 1_000_003  # how many of them are drawn, and then repeated


def calibrate(network: nn.Module, size: int = 64) -> None:
    """Give batch norms the statistics of noise; with fresh ones, deep untrained networks answer zero to everything."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    with torch.no_grad():
        if norms:
            network(torch.randn(8, 3, size, size, generator=torch.Generator().manual_seed(0)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def draw_weights(network: nn.Module) -> None:
    """Draw every weight afresh, so that no layer fades, explodes, or leaves its input as it is."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim == 1:
                weight.uniform_(0.5, 1.5, generator=generator)
                if name.endswith("bias"):
                    weight.sub_(1)
            elif weight.numel() > HUGE:
                tile = torch.randn(TILE, generator=generator) * (2 / weight.shape[1]) ** 0.5
                weight.view(-1).copy_(tile.repeat(weight.numel() // TILE + 1)[: weight.numel()])
            else:
                fan_in = weight[0].numel()
                weight.normal_(std=(2 / fan_in) ** 0.5, generator=generator)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
