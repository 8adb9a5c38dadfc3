"""A plot of gradients that fade through time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.gradients import Variant


def save_gradient_plot(path: Path, norms: Sequence[tuple[Variant, NDArray[np.float64]]], note: str) -> None:
    """Draw gradient norms against steps back, on a logarithmic scale; a norm of zero has no place on it.

    Args:
        path: Where to, a PNG.
        norms: ``[T + 1]`` for each kind of cell.
        note: How it was measured.
    """
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for variant, values in norms:
        axes.plot(np.where(values > 0, values, np.nan), label=str(variant), linewidth=2)
    axes.set_yscale("log")
    axes.set_xlabel("steps back from the loss")
    axes.set_ylabel("norm of the gradient by the state")
    axes.set_title(note, fontsize=10)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path)
