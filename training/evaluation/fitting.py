"""Logistic and isotonic regression, the two curves that calibrations are made of."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RIDGE = 1e-3  # keeps weights finite where the labels can be told apart without a mistake
STEPS = 100
BLOCKS = 20  # of equally many examples: few enough that each has a mean worth the name


def fit_logistic(features: Array, labels: Array) -> tuple[Array, float]:
    """Fit the probability that a label is 1 by Newton's method.

    Args:
        features: ``[N, F]``.
        labels: ``[N]`` zeros and ones.

    Returns:
        Weights ``[F]`` and bias such that the log-odds are ``features @ weights + bias``.
    """
    found = _newton(np.column_stack([features, np.ones(len(features))]), labels)
    return found[:-1], float(found[-1])


def rising_logistic(features: Array, labels: Array, rising: Sequence[int]) -> tuple[Array, float]:
    """Fit a logistic regression in which some features never lower the probability.

    Args:
        features: ``[N, F]``.
        labels: ``[N]`` zeros and ones.
        rising: The features whose weight may not be negative; such a one is left out, its weight 0.
    """
    used = list(range(features.shape[1]))
    while True:
        found, bias = fit_logistic(features[:, used], labels)
        weights = np.zeros(features.shape[1])
        weights[used] = found
        worst = min(rising, key=lambda index: weights[index])
        if weights[worst] >= 0:
            return weights, bias
        used.remove(worst)


def fit_inverse_temperature(log_odds: Array, labels: Array) -> float:
    """Fit ``1 / T`` of temperature scaling (Guo et al. 2017): log-odds are divided by T, and nothing is added."""
    return float(_newton(log_odds[:, None], labels)[0])


def _newton(features: Array, labels: Array) -> Array:
    weights = np.zeros(features.shape[1])
    for _ in range(STEPS):
        sure = probability(features @ weights)
        slope = features.T @ (sure - labels) + RIDGE * weights
        curvature = (features.T * (sure * (1 - sure))) @ features + RIDGE * np.eye(len(weights))
        step = np.linalg.solve(curvature, slope)
        weights -= step * min(1.0, 10 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-10:
            break
    return weights


def probability(log_odds: Array) -> Array:
    """Return ``1 / (1 + exp(-log_odds))`` without overflow."""
    sure: Array = 0.5 * (1 + np.tanh(0.5 * log_odds))
    return sure


def fit_rising_curve(scores: Array, labels: Array, blocks: int = BLOCKS) -> tuple[Array, Array]:
    """Fit a rising curve of straight pieces: isotonic regression over the means of blocks of neighbouring examples.

    Args:
        scores: ``[N]``.
        labels: ``[N]`` zeros and ones.
        blocks: Most corners of the curve.

    Returns:
        Rising scores ``[K]`` and not falling probabilities ``[K]`` at the corners.
    """
    order = np.argsort(scores, kind="stable")
    parts = np.array_split(order, min(blocks, len(order)))
    sizes = np.array([len(part) for part in parts], dtype=np.float64)
    corners = np.array([scores[part].mean() for part in parts])
    heights = pool_violators(np.array([labels[part].mean() for part in parts]), sizes)
    different = np.append(np.diff(corners) > 1e-6, True)  # equal scores have no curve between them
    return corners[different], heights[different]


def pool_violators(values: Array, sizes: Array) -> Array:
    """Return the not falling sequence that is closest to weighted values in squares (Ayer et al. 1955)."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many values
    for value, size in zip(values, sizes, strict=True):
        pool = (float(value), float(size), 1)
        while pools and pools[-1][0] >= pool[0]:
            mean, weight, count = pools.pop()
            total = weight + pool[1]
            pool = ((mean * weight + pool[0] * pool[1]) / total, total, count + pool[2])
        pools.append(pool)
    return np.concatenate([np.full(count, mean) for mean, _, count in pools])
