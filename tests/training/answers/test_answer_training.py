"""Learning to answer questions: batches, runs that resume to the same result, and scores beside guesses."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from captioner.answers.checkpoint import load_answers
from captioner.answers.header import AnswerConfig, identify_encoder
from captioner.config import from_dict
from captioner.errors import ConfigError
from captioner.header import CheckpointFile
from captioner.tokenizers import WordTokenizer
from tests.support.stopping import stop_after
from training.__main__ import main
from training.answers.batches import QuestionBatches, choose_answers, encode_questions
from training.answers.evaluation import ALONE, NETWORK, compare, scores_of_guess
from training.answers.recipe import AnswerRecipe, QuestionsRecipe
from training.answers.setup import most_frequent
from training.errors import DataError
from training.evaluation.bootstrap import Bootstrap
from training.inputs.features import CachedFeatures
from training.inputs.sources import FeatureSource
from training.questions.files import PhotoQuestion, read_questions
from training.runs.start import resume, start

pytestmark = pytest.mark.slow


def question(number: int, photo: str, text: str, *answers: str, kind: str = "color") -> PhotoQuestion:
    return PhotoQuestion(number, photo, kind, text, answers)


QUESTIONS = [
    question(0, "a.png", "what color is it?", "red"),
    question(1, "a.png", "how many?", "2", "2", "3", kind="number"),
    question(2, "b.png", "the left one?", "red"),
    question(3, "c.png", "what color is it?", "mauve"),
]
TOKENIZER = WordTokenizer(("what", "color", "is", "it"))


def recipe_of(questions: Path, dataset: Path, captioner: Path, runs: Path) -> AnswerRecipe:
    names = {"train_questions": "q.json", "train_answers": "a.json", "val_questions": "q.json", "val_answers": "a.json"}
    values = {
        "name": "answers",
        "runs": str(runs),
        "cache": str(runs / "cache"),
        "captioner": str(captioner),
        "questions": {
            "root": str(questions),
            **names,
            "train_images": str(dataset / "train"),
            "val_images": str(dataset / "train"),
            "least": 1,
        },
        "network": {"embedding_size": 6, "hidden_size": 8, "attention_size": 4},
        "training": {"epochs": 3, "images_per_batch": 5, "learning_rate": 0.01, "average": 0.5, "cells": 0.5},
    }
    return from_dict(AnswerRecipe, values)


@pytest.fixture
def answer_recipe(dataset: Path, small_checkpoint_file: Path, tmp_path: Path) -> AnswerRecipe:
    make = ["make-questions", "--annotations", str(dataset / "train.json"), "--images", str(dataset / "train")]
    make += ["--questions", str(tmp_path / "q.json"), "--answers", str(tmp_path / "a.json")]
    assert main([*make, "--least", "1", "--ratio", "3"]) == 0
    return recipe_of(tmp_path, dataset, small_checkpoint_file, tmp_path / "runs")


def test_answers_are_those_of_enough_questions() -> None:
    recipe = QuestionsRecipe("", *("x",) * 6, least=1)
    assert choose_answers(QUESTIONS, recipe) == ("red", "2", "3", "mauve")
    assert choose_answers(QUESTIONS, replace(recipe, least=2)) == ("red",)
    assert choose_answers(QUESTIONS, replace(recipe, most=2)) == ("red", "2")
    with pytest.raises(DataError, match="no answer is right of 3 questions"):
        choose_answers(QUESTIONS, replace(recipe, least=3))
    with pytest.raises(ConfigError, match=r"questions.least is 0"):
        replace(recipe, least=0)


def test_questions_become_numbers() -> None:
    encoded = encode_questions(QUESTIONS, TOKENIZER, ("red", "2", "3"))
    assert encoded.lengths.tolist() == [4, 2, 3, 4]
    assert encoded.tokens[1].tolist() == [TOKENIZER.unk_id] * 2 + [TOKENIZER.pad_id] * 2
    assert encoded.scores.tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 0], [0, 0, 0]]


def batches(cells: float = 1.0, unknown: float = 0.0) -> tuple[QuestionBatches, FeatureSource]:
    encoded = encode_questions(QUESTIONS, TOKENIZER, ("red", "2", "3"))
    rows = {"a.png": 0, "b.png": 1, "c.png": 2}
    numbers = np.arange(3 * 4 * 2, dtype=np.float16).reshape(3, 4, 2)
    upright, mirrored = (CachedFeatures(grid[:, 0], grid, 2, 2) for grid in (numbers, -numbers))
    made = QuestionBatches(QUESTIONS, encoded, rows, 2, 1, True, (unknown, TOKENIZER.unk_id), cells)
    return made, FeatureSource(upright, mirrored)


def test_a_batch_shows_photos_with_all_their_questions() -> None:
    made, source = batches()
    assert len(made) == 1, "the third photo has no question that could be answered"
    batch = made.batch(source, 0, 0)
    assert sorted(batch.ids) == [0, 1, 2]
    assert batch.features is not None
    for row, number in enumerate(batch.ids):
        shown = batch.features.vector[batch.photos[row]].abs().tolist()
        assert shown == [[0, 1], [0, 1], [8, 9]][number]
        assert batch.targets[row].sum() == pytest.approx(1)
    assert made.batch(source, 0, 0).tokens.equal(batch.tokens)
    mirrored = {
        number
        for epoch in range(20)
        for batch in [made.batch(source, epoch, 0)]
        for row, number in enumerate(batch.ids)
        if batch.features is not None and float(batch.features.vector[batch.photos[row]].sum()) < 0
    }
    assert mirrored == {0, 1}, "what asks for left or right is never mirrored"


def test_cells_and_words_are_left_out_by_chance() -> None:
    made, source = batches(cells=0.5, unknown=0.5)
    seen = [made.batch(source, epoch, 0) for epoch in range(20)]
    grids = [batch.features.require_grid() for batch in seen if batch.features is not None]
    assert {grid.shape[1] for grid in grids} == {2}
    assert len({tuple(grid[0].flatten().abs().tolist()) for grid in grids}) > 2
    shares = [float((batch.tokens == TOKENIZER.unk_id).float().mean()) for batch in seen]
    assert 0.3 < sum(shares) / 20 < 0.9
    for batch in seen:
        padded = torch.arange(batch.tokens.shape[1]) >= batch.lengths[:, None]
        assert bool((batch.tokens[padded] == TOKENIZER.pad_id).all())


def test_a_run_that_is_stopped_and_resumed_is_the_same(
    answer_recipe: AnswerRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = start(answer_recipe)
    assert whole.run()
    begun = replace(answer_recipe, runs=str(tmp_path / "again"))
    cut = start(begun)
    stop_after(cut, 4, monkeypatch)
    assert not cut.run()
    gone_on = resume(begun.run_dir, AnswerRecipe)
    assert gone_on.run()
    assert gone_on.progress.history == whole.progress.history
    ours, theirs = load_answers(whole.best_file), load_answers(gone_on.best_file)
    for name, value in ours.network.state_dict().items():
        assert torch.equal(value, theirs.network.state_dict()[name]), name


def test_it_learns_what_photos_show(answer_recipe: AnswerRecipe, small_checkpoint_file: Path) -> None:
    """Fourteen photos can be learnt by heart through what the encoder sees; questions alone cannot tell them apart."""
    learning = replace(answer_recipe.training, epochs=40, patience=40, learning_rate=0.02, cells=1.0, unknown_words=0.0)
    network = AnswerConfig(embedding_size=8, hidden_size=24, attention_size=8, dropout=0.0)
    seeing = start(replace(answer_recipe, training=learning, network=network))
    assert seeing.run()
    blind = start(replace(answer_recipe, name="blind", training=learning, network=replace(network, sees=False)))
    assert blind.run()
    best = [max(entry["mean"] for entry in run.progress.history) for run in (seeing, blind)]
    assert best[0] > best[1] + 0.08
    found = load_answers(seeing.best_file)
    assert found.description.encoder == identify_encoder(CheckpointFile.read(small_checkpoint_file))
    assert set(found.description.provenance["most_frequent"]) == {"number", "object", "place"} & set(
        found.description.provenance["most_frequent"]
    )


def test_scores_are_means_by_kind() -> None:
    scores = {NETWORK: np.array([1.0, 1, 0, 0]), ALONE: np.array([1.0, 0, 0, 0])}
    found = compare(QUESTIONS, scores, Bootstrap(100))
    assert found.counts == {"color": 3, "number": 1}
    assert found.scores[NETWORK]["color"].value == pytest.approx(1 / 3)
    assert found.scores[NETWORK]["mean"].value == pytest.approx((1 / 3 + 1) / 2)
    assert found.gains["number"].value == 1
    assert found.gains["color"].value == 0
    for kind in ("color", "mean"):
        measured = found.scores[NETWORK][kind]
        assert measured.low <= measured.value <= measured.high
    assert most_frequent(QUESTIONS) == {"color": "red", "number": "2"}
    assert scores_of_guess(QUESTIONS, {"color": "red"}).tolist() == [1, 0, 1, 0]
    with pytest.raises(DataError, match="no questions"):
        compare([], scores, Bootstrap(100))


def test_of_most_questions_keeps_whole_photos(answer_recipe: AnswerRecipe) -> None:
    everything = answer_recipe.questions.read("train")
    few = replace(answer_recipe.questions, photos=3)
    chosen = few.read("train")
    photos = {one.photo for one in chosen}
    assert len(photos) == 3
    assert chosen == [one for one in everything if one.photo in photos]
    assert few.read("val") == everything


def settings(values: Mapping[str, str]) -> list[str]:
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def test_the_commands(
    answer_recipe: AnswerRecipe, small_checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = Path(__file__).parents[3] / "training/recipes/flickr8k-answers.toml"
    asked = answer_recipe.questions
    given = {
        **{f"questions.{name}": str(getattr(asked, name)) for name in vars(asked) if "_" in name or name == "root"},
        "questions.least": "1",
        "questions.photos": "0",
        "runs": str(tmp_path / "runs"),
        "cache": str(tmp_path / "cache"),
        "captioner": str(small_checkpoint_file),
        "training.epochs": "1",
        "network.hidden_size": "8",
    }
    fit = ["fit-answers", "--recipe", str(shipped)]
    assert main([*fit, *settings(given)]) == 0
    assert "finished; the best epoch is 1" in capsys.readouterr().out
    assert main([*fit, *settings({**given, "network.sees": "false", "name": "blind"})]) == 0
    evaluate = ["evaluate-answers", "--questions", str(asked.path("val_questions")), "--images", asked.val_images]
    evaluate += ["--answers", str(asked.path("val_answers")), "--cache", str(tmp_path / "cache")]
    evaluate += ["--checkpoint", str(small_checkpoint_file), "--json", str(tmp_path / "scores.json")]
    runs = tmp_path / "runs"
    network, blind = (str(runs / name / "best.safetensors") for name in ("flickr8k-answers", "blind"))
    capsys.readouterr()
    assert main([*evaluate, "--network", network, "--question-only", blind]) == 0
    assert "gain by looking" in capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    history = json.loads((runs / "flickr8k-answers" / "history.json").read_text())
    assert math.isfinite(history[0]["loss"])
    assert scores["questions"] == dict(
        sorted(
            {
                kind: sum(one.kind == kind for one in asked.read("val"))
                for kind in history[0]
                if kind in ("number", "object", "place")
            }.items()
        )
    )
    assert main([*evaluate, "--network", network, "--question-only", network]) == 1
    assert "sees the photo" in capsys.readouterr().err
    assert main([*evaluate, "--network", network]) == 0
    assert read_questions(asked.path("val_questions"), asked.path("val_answers"))
