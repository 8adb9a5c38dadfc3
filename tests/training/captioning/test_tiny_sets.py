"""Data sets so small that CIDEr says nothing: what is kept, when a run stops, and what is said."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from captioner.types import Caption
from training.__main__ import main
from training.commands import runs
from training.evaluation import evaluate as evaluating
from training.evaluation.metrics import cider_is_always_zero, score_captions
from training.phase import PhaseRecipe
from training.recipe import Recipe
from training.runs.run import Run
from training.runs.start import start

pytestmark = pytest.mark.slow
DOG = ("a dog runs .", "the dog sits", "a dog runs")
CAT = ("a cat sits on a mat", "a cat")


def scores(cider: float, rouge: float = 0.0, bleu: float = 0.0) -> dict[str, float]:
    return {"cider": cider, "rouge_l": rouge, **{f"bleu_{order}": bleu for order in range(1, 5)}}


@pytest.mark.parametrize(
    ("references", "zero"),
    [
        ([DOG], True),
        ([DOG, DOG], True),
        ([DOG, DOG[::-1], ("A dog, runs!", "the dog sits.")], True),
        ([DOG, CAT], False),
        ([DOG, DOG, CAT], False),
        ([("a dog",), ("dog a",)], False),  # the same words, in another order
    ],
)
def test_whether_cider_can_be_anything_but_zero_is_told_as_the_metric_has_it(
    references: Sequence[Sequence[str]], zero: bool
) -> None:
    assert cider_is_always_zero(references) is zero
    by_id = dict(enumerate(references))
    perfect = score_captions({image: captions[0] for image, captions in by_id.items()}, by_id, engine="python")
    assert (perfect.cider == 0) is zero
    assert perfect.rouge_l == pytest.approx(1)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> Callable[..., Run[Any]]:
    """Return what makes a run whose epochs bring the scores that are given, and learn nothing."""

    def make(*entries: dict[str, float], patience: int = 2, average: float = 0.0) -> Run[Any]:
        phase = PhaseRecipe(epochs=len(entries), learning_rate=0.0)
        training = replace(recipe.training, phases=(phase,), patience=patience, average=average)
        trainer = start(replace(recipe, training=training, data=replace(recipe.data, mirror=False)))
        rest = iter(entries)
        monkeypatch.setattr(trainer.task, "validate", lambda *_: next(rest))
        monkeypatch.setattr(trainer, "step", lambda _: 1.0)
        return trainer

    return make


@pytest.mark.parametrize(
    ("entries", "best"),
    [
        ([scores(0), scores(0, 0.2), scores(0, 0.1, 0.9)], 2),
        ([scores(0, 0.2), scores(0, 0.2, 0.1), scores(0, 0.2, 0.05)], 2),
        ([scores(0, 0.9, 0.9), scores(0.1), scores(0, 0.9, 0.9)], 2),
        ([scores(0), scores(0), scores(0)], 1),
    ],
)
def test_other_scores_decide_where_cider_is_equal(
    told: Callable[..., Run[Any]], entries: list[dict[str, float]], best: int
) -> None:
    trainer = told(*entries, patience=9)
    assert trainer.run()
    assert trainer.best_epoch == best - 1


def test_the_loss_decides_where_no_score_does(told: Callable[..., Run[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = told(scores(0), scores(0), scores(0))
    losses = {0: 3.0, 1: 1.0, 2: 2.0}
    monkeypatch.setattr(trainer, "step", lambda _: losses[trainer.progress.epoch])
    trainer.run()
    assert trainer.best_epoch == 1


def test_no_patience_is_spent_before_the_first_word(told: Callable[..., Run[Any]]) -> None:
    trainer = told(*[scores(0)] * 5, scores(0.1), scores(0), scores(0), *[scores(0)] * 5, patience=2)
    trainer.run()
    assert trainer.progress.epoch == 8  # five without a word, the best, and two that bring nothing


def with_one_photo(recipe: Recipe) -> Recipe:
    """Return the recipe with one validation photo."""
    file = Path(recipe.data.root) / "one.json"
    values = json.loads((file.parent / "val.json").read_text())
    photo = values["images"][0]
    kept = [entry for entry in values["annotations"] if entry["image_id"] == photo["id"]]
    file.write_text(json.dumps({**values, "images": [photo], "annotations": kept}))
    return replace(recipe, data=replace(recipe.data, val_annotations="one.json", mirror=False))


def test_one_validation_photo_is_told_of_and_patience_goes_by_rouge(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = with_one_photo(recipe)
    phase = PhaseRecipe(epochs=9, learning_rate=0.0)
    trainer = start(replace(recipe, training=replace(recipe.training, phases=(phase,), patience=1)))
    rest = iter([scores(0), scores(0), scores(0, 0.3), scores(0, 0.2)])
    monkeypatch.setattr(trainer.task, "validate", lambda *_: next(rest))
    monkeypatch.setattr(trainer, "step", lambda _: 1.0)
    assert "CIDEr over these photos can only be 0" in trainer.remarks()[0]
    trainer.run()
    assert trainer.best_epoch == 2
    assert trainer.progress.epoch == 4


def recipe_file(recipe: Recipe, folder: Path) -> list[str]:
    """Write a recipe of the same data; return the arguments that name it."""
    data = recipe.data
    (folder / "recipe.toml").write_text(
        f'name = "cli"\nruns = "{recipe.runs}"\ncache = "{recipe.cache}"\nencoder_weights = "random"\n'
        f'[data]\nroot = "{data.root}"\ntrain_annotations = "train.json"\ntrain_images = "train"\n'
        f'val_annotations = "{data.val_annotations}"\nval_images = "val"\n[tokenizer]\nmin_count = 1\n'
        '[model.image]\nsize = 64\n[model.encoder]\nname = "tiny"\n'
        "[model.decoder]\nhidden_size = 8\nembedding_size = 8\nattention_size = 8\n"
        "[training]\n[[training.phases]]\nepochs = 1\n"
    )
    return ["--recipe", str(folder / "recipe.toml")]


def test_check_fit_and_evaluate_say_that_cider_can_only_be_zero(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = recipe_file(with_one_photo(recipe), tmp_path)
    assert main(["check", *given, "--no-photos"]) == 0
    assert "WARNING  val: photos over which CIDEr can only be 0" in capsys.readouterr().out
    assert main(["fit", *given]) == 0
    assert capsys.readouterr().err.count("WARNING: CIDEr over these photos can only be 0") == 2  # at the start and end
    data = ["--annotations", f"{recipe.data.root}/one.json", "--images", f"{recipe.data.root}/val"]
    checkpoint = Path(recipe.runs) / "cli" / "best.safetensors"
    assert main(["evaluate", *data, "--checkpoint", str(checkpoint), "--replicates", "100"]) == 0
    out, err = capsys.readouterr()
    assert "CIDEr over these photos can only be 0" in out
    assert "WARNING: CIDEr over these photos can only be 0" in err


def empty_captions(*arguments: Any) -> list[Caption]:
    return [Caption("", (), -1.0, None, finished=True)] * arguments[3]


def test_a_model_that_says_nothing_is_a_warning(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("training.captioning.task.best_captions", empty_captions)
    assert main(["fit", *recipe_file(recipe, tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "WARNING: all 5 captions are empty" in err
    assert "WARNING: CIDEr was 0 in every epoch: the model has not learnt to caption" in err
    assert "CIDEr 0.00" in out


def test_evaluate_warns_of_a_model_that_says_nothing(
    recipe: Recipe, small_checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluating, "best_captions", empty_captions)
    data = ["--annotations", f"{recipe.data.root}/val.json", "--images", f"{recipe.data.root}/val"]
    assert main(["evaluate", *data, "--checkpoint", str(small_checkpoint_file), "--replicates", "100"]) == 0
    assert "WARNING: All captions are empty: small says nothing of any photo." in capsys.readouterr().err


def test_a_run_that_learnt_has_no_remarks(told: Callable[..., Run[Any]]) -> None:
    trainer = told(scores(0.2, 0.4, 0.1))
    trainer.run()
    assert trainer.remarks() == []
    assert runs.outcome(trainer, True, "fit").startswith("finished; the best epoch is 1")
    assert "CIDEr 20.00, ROUGE-L 40.00, BLEU-1 10.00" in trainer.task.told(trainer.progress)
