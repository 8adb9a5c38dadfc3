import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner.predictor import CaptionPredictor
from tests.support.command_line import FakePredictor, Run


def test_captions_score_as_they_were_found(run: Run, photo: Path, small_model: CaptionPredictor) -> None:
    captions = json.loads(run("caption", photo, "--json", "--num-captions", 50)[1][0])["captions"]
    found = [caption for caption in captions if caption["words"] and caption["finished"]]
    assert len(found) > 1
    _, lines, _ = run("score", photo, *(caption["text"] for caption in found), "--json")
    for one, same in zip(json.loads(lines[0])["captions"], found, strict=True):
        assert one["text"] == same["text"]
        assert one["log_prob"] == pytest.approx(same["log_prob"], abs=1e-4)
        log_probs = [word["log_prob"] for word in same["words"]]
        assert [word["log_prob"] for word in one["words"]] == pytest.approx(log_probs, abs=1e-4)
        assert np.abs(np.subtract(one["attention"], same["attention"])).max() < 1e-4


def test_a_line_per_text_in_their_order(run: Run, photo: Path, small_model: CaptionPredictor) -> None:
    texts = ["the dog runs", *["two children"] * 9, "a ball"]
    status, lines, errors = run("score", photo, *texts)
    assert (status, errors) == (0, "")
    assert [line.split("\t")[1] for line in lines] == texts
    values = [float(line.split("\t")[0]) for line in lines]
    assert len(set(values[1:10])) == 1
    assert len(set(values)) == 3
    assert max(values) < 0


def test_words_add_up_but_for_the_ending(run: Run, photo: Path, small_model: CaptionPredictor) -> None:
    _, lines, errors = run("score", photo, "a unicorn runs", "--words")
    total, *words = [line.split("\t") for line in lines]
    assert [word[2:] for word in words] == [["a"], ["unicorn", "unknown"], ["runs"]]
    assert {word[0] for word in words} == {""}
    ending = float(total[0]) - math.fsum(float(word[1]) for word in words)
    assert ending < 0
    assert "unicorn" in errors
    value = json.loads(run("score", photo, "a unicorn runs", "--json")[1][0])
    assert [word["known"] for word in value["captions"][0]["words"]] == [True, False, True]
    assert value["path"] == str(photo)


def test_heatmaps(run: Run, photo: Path, tmp_path: Path, small_model: CaptionPredictor) -> None:
    assert run("score", photo, "a dog", "--heatmap", tmp_path / "map.png")[0] == 0
    assert run("score", photo, "a dog", "two children on the grass", "--heatmap", tmp_path / "maps")[0] == 0
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["photo.png-1.png", "photo.png-2.png"]
    with Image.open(tmp_path / "maps" / "photo.png-1.png") as first, Image.open(tmp_path / "map.png") as same:
        assert np.abs(np.asarray(first, int) - np.asarray(same, int)).max() <= 2


def test_heatmaps_that_would_lose_a_file_are_refused_before_any_work(
    run: Run, photo: Path, tmp_path: Path, predictor: FakePredictor
) -> None:
    before = photo.read_bytes()
    for texts, out, message in (
        (["a dog", "a cat"], tmp_path / "map.png", "one file"),
        (["a dog"], photo, "overwritten"),
    ):
        status, lines, errors = run("score", photo, *texts, "--heatmap", out)
        assert (status, lines) == (2, [])
        assert message in errors
    assert photo.read_bytes() == before


def test_heatmap_of_a_model_that_does_not_attend(
    run: Run, photo: Path, tmp_path: Path, predictor: FakePredictor
) -> None:
    predictor.attends = False
    status, lines, errors = run("score", photo, "a dog", "--heatmap", tmp_path / "map.png")
    assert (status, lines) == (2, [])
    assert "does not attend" in errors


def test_texts_and_photos_that_cannot_be_read(run: Run, photo: Path, small_model: CaptionPredictor) -> None:
    status, lines, errors = run("score", photo, "a dog", " ")
    assert (status, lines) == (2, [])
    assert "0 words" in errors
    status, lines, errors = run("score", "missing.jpg", "a dog")
    assert (status, lines) == (1, [])
    assert "missing.jpg: No such file" in errors
