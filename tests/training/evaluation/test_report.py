"""The report: one page that shows what was measured and needs nothing beside it."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from captioner.decoding import DecodingOptions
from captioner.predictor import CaptionPredictor
from training.__main__ import main
from training.data import load_captioned_images
from training.evaluation.evaluate import Evaluation, evaluate
from training.evaluation.report.drawings import histogram, score_bars
from training.evaluation.report.report import choose_photos, render, write_report

pytestmark = pytest.mark.slow

VOID = {"meta", "img", "rect", "line"}


class Reader(HTMLParser):
    """Reads a page; fails where tags do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def evaluation(dataset: Path, small_checkpoint_file: Path) -> Evaluation:
    images = load_captioned_images(dataset / "val.json", dataset / "val")
    predictor = CaptionPredictor.from_checkpoint(small_checkpoint_file)
    return evaluate(predictor, images, DecodingOptions(beam_size=2, max_length=5, min_length=2))


def test_the_page_stands_alone(evaluation: Evaluation, tmp_path: Path) -> None:
    page = write_report(tmp_path / "new" / "report", evaluation)
    assert [page.name] == [path.name for path in page.parent.iterdir()]
    text = page.read_text("utf-8")
    reader = Reader(text)
    assert all(address.startswith("data:image/jpeg;base64,") for address in reader.addresses)
    assert not re.search(r"url\(|@import|<script|<link", text)


def test_it_shows_scores_captions_references_and_a_heatmap_per_word(evaluation: Evaluation) -> None:
    reader = Reader(render(evaluation))
    shown = " ".join(reader.texts)
    for name, value in evaluation.scores().items():
        assert name in shown
        assert f"{value:.1f}" in shown
    for image, caption in zip(evaluation.images, evaluation.captions, strict=True):
        assert caption.text in shown
        assert image.path.name in shown
        assert all(reference in shown for reference in image.captions)
    words = sum(len(caption.words) for caption in evaluation.captions)
    assert reader.tags.count("img") == 3 * (len(evaluation.images) + words)  # five photos are in each gallery


def test_models_that_do_not_attend_have_no_heatmaps(evaluation: Evaluation) -> None:
    blind = replace(evaluation, captions=[replace(caption, attention=None) for caption in evaluation.captions])
    assert Reader(render(blind)).tags.count("img") == 3 * len(evaluation.images)


def test_what_is_unsure_is_said(evaluation: Evaluation) -> None:
    assert "needs review" not in render(evaluation)
    captions = [replace(caption, confidence=0.123, needs_review=True) for caption in evaluation.captions]
    page = render(replace(evaluation, captions=captions))
    assert page.count("confidence 12 %") == page.count("needs review</span>") == 15


def test_texts_cannot_become_tags(evaluation: Evaluation) -> None:
    evil = "<script>alert(1)</script>"
    images = [replace(image, captions=(evil,)) for image in evaluation.images]
    captions = [replace(caption, text=evil) for caption in evaluation.captions]
    page = render(replace(evaluation, images=images, captions=captions, model=evil, notes=[evil]))
    assert "script" not in Reader(page).tags


def test_photos_are_the_best_the_worst_and_drawn_by_chance() -> None:
    cider = np.random.default_rng(0).permutation(50).astype(float).tolist()
    best, worst, drawn = choose_photos(cider, seed=3, count=4)
    assert [cider[row] for row in best] == [49, 48, 47, 46]
    assert [cider[row] for row in worst] == [0, 1, 2, 3]
    assert drawn == choose_photos(cider, seed=3, count=4)[2] != choose_photos(cider, seed=4, count=4)[2]
    assert len(set(drawn)) == 4


def numbers(drawing: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf'class="bar"[^>]* {name}="([\d.]+)"', drawing)]


def test_bars_are_as_long_as_their_scores() -> None:
    widths = numbers(score_bars({"A": 20.0, "B": 40.0, "C": 0.0}, {"B": (35.0, 45.0)}), "width")
    assert widths == pytest.approx([widths[1] / 2, widths[1], 0], abs=0.1)


def test_the_histogram_counts_everything() -> None:
    values = [1.0] * 30 + [15.0] * 10 + [500.0]
    drawing = histogram(values)
    heights = numbers(drawing, "height")
    assert sum(int(count) for count in re.findall(r": (\d+)</title>", drawing)) == 41
    assert max(heights) == heights[0] == pytest.approx(3 * sorted(heights)[-2], abs=0.3)


def test_the_command_writes_it(dataset: Path, small_checkpoint_file: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", "--annotations", str(dataset / "val.json"), "--images", str(dataset / "val")]
    arguments += ["--checkpoint", str(small_checkpoint_file), "--limit", "2", "--report", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert "captions 2 photos" in (tmp_path / "out" / "index.html").read_text("utf-8")
