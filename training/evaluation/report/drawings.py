"""Small drawings for a page, as SVG."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

WIDTH, ROW = 420, 24  # in the drawings' own units
LEFT, RIGHT = 72, 12  # room for names, and for the last number of an axis


def score_bars(scores: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]) -> str:
    """Draw a bar per score, with a whisker where it has an interval."""
    ends = [high for _, high in intervals.values()]
    scale = (WIDTH - LEFT - RIGHT) / max(1.0, *scores.values(), *ends)
    rows = "".join(
        _bar(row * ROW, name, value, intervals.get(name), scale) for row, (name, value) in enumerate(scores.items())
    )
    return _svg(ROW * len(scores) + 6, rows, "bars of the scores in the table below")


def _bar(top: int, name: str, value: float, interval: tuple[float, float] | None, scale: float) -> str:
    middle = top + ROW / 2
    drawn = f'<text x="0" y="{middle + 4:.1f}">{escape(name)}</text>'
    width, height = max(0.0, value) * scale, ROW - 8
    drawn += f'<rect class="bar" x="{LEFT}" y="{top + 4}" width="{width:.1f}" height="{height}" rx="3"/>'
    if interval is not None:
        low, high = (LEFT + end * scale for end in interval)
        drawn += f'<line class="whisker" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
    return drawn


def histogram(values: Sequence[float], bins: int = 24, height: int = 300) -> str:
    """Draw how many values lie where; values above the 99th percentile share the last bar."""
    top = max(40.0, 40.0 * np.ceil(float(np.percentile(values, 99)) / 40))
    counts, edges = np.histogram(np.minimum(values, top), bins=bins, range=(0, top))
    step, base = (WIDTH - 2 * RIGHT) / bins, height - 22
    scale = (base - 14) / max(1, counts.max())
    bars = "".join(
        f'<rect class="bar" x="{RIGHT + i * step + 1:.1f}" y="{base - count * scale:.1f}" width="{step - 2:.1f}" '
        f'height="{count * scale:.1f}" rx="2"><title>{edges[i]:.0f} to {edges[i + 1]:.0f}: {count}</title></rect>'
        for i, count in enumerate(counts)
    )
    axis = f'<line class="axis" x1="{RIGHT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>'
    return _svg(height, bars + axis + _ticks(top, base), "histogram of CIDEr over photos")


def _ticks(top: float, base: int) -> str:
    span = WIDTH - 2 * RIGHT
    return "".join(
        f'<text x="{RIGHT + span * part / 4:.1f}" y="{base + 16}" text-anchor="middle">{top * part / 4:.0f}</text>'
        for part in range(5)
    )


def _svg(height: int, content: str, label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{content}</svg>\n'
