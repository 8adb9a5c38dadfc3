"""The learning rate as a pure function of the step, so that a resumed run needs no scheduler's state."""

import math


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
