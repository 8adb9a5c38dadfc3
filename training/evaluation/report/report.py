"""An evaluation as one page that needs nothing beside it: scores, protocol, photos, captions, heatmaps."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from training.evaluation.evaluate import Evaluation
from training.evaluation.report.drawings import histogram, score_bars
from training.evaluation.report.photo_card import photo_card
from training.evaluation.summary import protocol_rows, wording_rows

PHOTOS = 12  # in each gallery
GALLERIES = ("Best", "Worst", "At random")
EXPLAINED = {
    "Best": "The photos whose captions have the highest CIDEr.",
    "Worst": "The photos whose captions have the lowest CIDEr.",
    "At random": "Drawn by chance: how the model really is.",
}


def write_report(folder: Path, evaluation: Evaluation, seed: int = 0) -> Path:
    """Write ``index.html`` into a folder; photos and styles are inside the file.

    Args:
        folder: Where to; made if it is not there.
        evaluation: What to show.
        seed: Of the photos drawn by chance.

    Returns:
        The page's file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    page.write_text(render(evaluation, seed), encoding="utf-8")
    return page


def render(evaluation: Evaluation, seed: int = 0) -> str:
    """Return the page."""
    title = f"How {escape(evaluation.model)} captions {len(evaluation.images)} photos"
    style = files("training.evaluation.report").joinpath("report.css").read_text("utf-8")
    galleries = (
        _gallery(name, evaluation, rows)
        for name, rows in zip(GALLERIES, choose_photos(evaluation.per_photo_cider(), seed), strict=True)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<h1>{title}</h1>
<p class="quiet">Scores are times 100, as papers print them. The heatmaps show where the model looked for each
word; under each word stands {_number_under_words(evaluation)}.</p>
<div class="panels">
{_scores(evaluation)}
{_distribution(evaluation)}
{_wording(evaluation)}
{_protocol(evaluation)}
</div>
{"".join(galleries)}
</body>
</html>
"""


def _number_under_words(evaluation: Evaluation) -> str:
    sure = any(word.confidence is not None for caption in evaluation.captions for word in caption.words)
    return "how sure one can be of it" if sure else "its probability after the words before it"


def choose_photos(cider: Sequence[float], seed: int, count: int = PHOTOS) -> tuple[list[int], list[int], list[int]]:
    """Return the rows of the best, the worst and some random photos, the best or worst first."""
    order = np.argsort(cider, kind="stable")
    drawn = np.random.default_rng(seed).permutation(len(order))
    return order[::-1][:count].tolist(), order[:count].tolist(), sorted(drawn[:count].tolist())


def _panel(title: str, content: str, kind: str = "panel") -> str:
    return f'<section class="{kind}"><h3>{escape(title)}</h3>\n{content}</section>'


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], kind: str = "") -> str:
    """Return a table whose rows begin with a heading."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "\n".join(
        f'<tr><th scope="row">{escape(str(first))}</th>'
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    top = f"<thead><tr>{heads}</tr></thead>\n" if head else ""
    return f'<table class="{kind}">{top}<tbody>\n{body}\n</tbody></table>\n'


def _scores(evaluation: Evaluation) -> str:
    scores, intervals = evaluation.scores(), evaluation.intervals()
    rows = [(name, f"{value:.1f}", _interval(intervals.get(name))) for name, value in scores.items()]
    level = f"{100 * evaluation.bootstrap.level:g} % interval"
    return _panel("Scores", score_bars(scores, intervals) + _table(["", "score", level], rows))


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.1f} to {ends[1]:.1f}"


def _distribution(evaluation: Evaluation) -> str:
    cider = evaluation.per_photo_cider()
    low, median, high = np.percentile(cider, [25, 50, 75])
    text = f"Half of the photos lie between {low:.0f} and {high:.0f}, half above {median:.0f}."
    return _panel("CIDEr of single photos", histogram(cider) + f'<p class="quiet">{text}</p>')


def _wording(evaluation: Evaluation) -> str:
    return _panel("What the captions look like", _table(["captions", "model", "people"], wording_rows(evaluation)))


def _protocol(evaluation: Evaluation) -> str:
    rows = [(name.replace("_", " "), text) for name, text in protocol_rows(evaluation)]
    notes = "".join(f'<p class="quiet">{escape(note)}</p>' for note in evaluation.notes)
    return _panel("How it was measured", _table([], rows, "protocol") + notes, "panel wide")


def _gallery(name: str, evaluation: Evaluation, rows: Sequence[int]) -> str:
    cider = evaluation.per_photo_cider()
    cards = "\n".join(photo_card(evaluation.images[row], evaluation.captions[row], cider[row]) for row in rows)
    return f'<h2>{name}</h2>\n<p class="quiet">{EXPLAINED[name]}</p>\n<div class="gallery">\n{cards}\n</div>\n'
