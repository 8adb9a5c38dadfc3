"""The learning rate as a pure function of the step, so that a resumed run needs no scheduler's state."""

import math

from training.phase import PhaseRecipe


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
