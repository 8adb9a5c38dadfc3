"""A drawing of how far confidences hold."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.evaluation.measured import Measured
from training.evaluation.reliability import Bin

ENOUGH = 10  # examples that a point of the curve stands for
INK, GLOW, QUIET = "#4338a8", "#b45309", "#8b8498"


def save_reliability_plot(path: Path, measured: Measured) -> None:
    """Draw reliability of words and captions, and the risk-coverage curve.

    Args:
        path: Where to, a PNG.
        measured: What to draw.
    """
    figure = Figure(figsize=(13, 4.4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    words, captions, risk = figure.subplots(1, 3)
    _reliability(words, measured.words, f"Words, calibration error {measured.word_error:.3f}", "share that is right")
    _reliability(
        captions, measured.captions, f"Captions, calibration error {measured.caption_error:.3f}", "share that is good"
    )
    _risk(risk, measured)
    figure.savefig(path)


def _reliability(axes: Axes, table: Sequence[Bin], title: str, label: str) -> None:
    most = max(one.count for one in table)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle="--")
    axes.bar(
        [(one.low + one.high) / 2 for one in table],
        [0.3 * one.count / most for one in table],
        width=[0.9 * (one.high - one.low) for one in table],
        color=INK,
        alpha=0.15,
    )
    enough = [one for one in table if one.count >= ENOUGH]
    axes.plot([one.confidence for one in enough], [one.right for one in enough], color=INK, marker="o", linewidth=2)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence (bars: how many)", ylabel=label, title=title)
    axes.grid(visible=True, alpha=0.3)


def _risk(axes: Axes, measured: Measured) -> None:
    coverage = [100 * one.coverage for one in measured.risks]
    axes.plot(coverage, [one.cider for one in measured.risks], color=INK, marker="o", linewidth=2)
    axes.set(xlabel="most confident captions kept, %", ylabel="their mean CIDEr", title="Risk and coverage")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    share = axes.twinx()
    share.plot(coverage, [100 * one.poor for one in measured.risks], color=GLOW, linestyle="--", linewidth=2)
    share.set_ylabel("poor among them, % (dashed)", color=GLOW)
    share.set_ylim(0, 100)
