"""AdamW as every run uses it."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from training.phase import PhaseRecipe


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


def one_cycle(step: int, total: int, warmup: float) -> float:
    """Return the share of the peak learning rate at a step.

    It climbs linearly over the first ``warmup * total`` steps, then falls to zero along half a cosine wave (after Smith
    and Topin 2018).

    Args:
        step: From 0 to ``total - 1``.
        total: Steps of the run.
        warmup: Share of them in which to climb, 0 to 1.
    """
    climb = warmup * total
    if step < climb:
        return (step + 1) / (climb + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - climb) / (total - climb)))


def phase_share(phase: PhaseRecipe, step: int, epoch_steps: int) -> float:
    """Return the share of the peak learning rate at a step of a phase.

    Args:
        phase: Its schedule.
        step: From the phase's first one, 0.
        epoch_steps: Steps of an epoch.
    """
    total = phase.epochs * epoch_steps
    if phase.schedule == "cosine":
        return one_cycle(step, total, phase.warmup)
    climb = phase.warmup * total
    if step < climb:
        return (step + 1) / (climb + 1)
    if phase.schedule == "constant":
        return 1.0
    return float(phase.step_factor ** (step // epoch_steps // phase.step_epochs))


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Tell whether a recipe's "float32", "bfloat16" or "auto" means bfloat16 on a device."""
    return precision == "bfloat16" or (precision == "auto" and _fast_bfloat16(device))


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which networks multiply in the precision of a recipe."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(precision, device))


def _fast_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # absent in older torch
    found = capabilities()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))
