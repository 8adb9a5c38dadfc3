"""Training runs: they learn, they stop anywhere, and they resume to the same result."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner.checkpoint import load_checkpoint
from captioner.errors import CaptionerError
from tests.support.stopping import stop_after
from training.captioning.batches import Batch
from training.errors import TrainingError
from training.phase import PhaseRecipe
from training.recipe import Recipe
from training.runs.run import Run
from training.runs.start import resume, start

pytestmark = pytest.mark.slow


def weights(trainer: Run[Any]) -> dict[str, torch.Tensor]:
    return {f"{m}.{n}": v for m, module in trainer.task.modules.items() for n, v in module.state_dict().items()}


@pytest.mark.parametrize("average", [0.0, 0.8])
@pytest.mark.parametrize("steps", [1, 4, 6])
def test_stopped_and_resumed_equals_never_stopped(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, steps: int, average: float
) -> None:
    recipe = replace(recipe, training=replace(recipe.training, average=average))
    straight = start(replace(recipe, name="straight"))
    assert straight.run()
    stopped = start(recipe)
    stop_after(stopped, steps, monkeypatch)
    assert not stopped.run()
    torch.manual_seed(99)  # whatever random numbers others drew
    resumed = resume(recipe.run_dir)
    assert resumed.progress.epoch * len(resumed.task.batches) + resumed.progress.position == steps
    assert resumed.run()
    assert resumed.progress == straight.progress
    for name, value in weights(straight).items():
        assert torch.equal(weights(resumed)[name], value), name
    best, same = (load_checkpoint(trainer.best_file).model.state_dict() for trainer in (straight, resumed))
    assert all(torch.equal(best[name], same[name]) for name in best)


def test_a_killed_run_goes_on_from_its_last_save(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(recipe, training=replace(recipe.training, save_minutes=0.0))  # save after every batch
    straight = start(replace(recipe, name="straight"))
    straight.run()
    killed = start(recipe)
    learn = killed.step

    def step(batch: list[Batch]) -> float:
        if killed.progress.epoch == 1 and killed.progress.position == 2:
            raise MemoryError
        return learn(batch)

    monkeypatch.setattr(killed, "step", step)
    with pytest.raises(MemoryError):
        killed.run()
    resumed = resume(recipe.run_dir)
    resumed.run()
    assert resumed.progress == straight.progress


def test_the_best_epoch_is_kept_and_explains_itself(recipe: Recipe) -> None:
    trainer = start(recipe)
    trainer.run()
    history = json.loads((recipe.run_dir / "history.json").read_text())
    compared = [(entry["cider"], entry["rouge_l"], entry["bleu_4"], -entry["loss"]) for entry in history]
    best = compared.index(max(compared))
    provenance = load_checkpoint(trainer.best_file).provenance
    assert provenance["epoch"] == best + 1
    assert provenance["validation"]["cider"] == history[best]["cider"]
    assert provenance["data"]["train_captions"] == 42
    assert str(recipe.data.root) not in json.dumps(provenance)


def test_it_learns_what_can_be_learnt(recipe: Recipe) -> None:
    phase = PhaseRecipe(epochs=30, learning_rate=0.01, label_smoothing=0.0)
    training = replace(recipe.training, average=0.0, patience=30, images_per_batch=1, phases=(phase,))
    decoder = replace(recipe.model.decoder, dropout=0.0, hidden_size=32, embedding_size=16)
    trainer = start(replace(recipe, training=training, model=replace(recipe.model, decoder=decoder)))
    trainer.run()
    losses = [entry["loss"] for entry in trainer.progress.history]
    assert losses[-1] < 0.75 * losses[0]


def test_it_stops_when_validation_no_longer_improves(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = start(
        replace(
            recipe, training=replace(recipe.training, patience=2, phases=(PhaseRecipe(epochs=50, learning_rate=0.0),))
        )
    )
    found = {"cider": 0.1, "rouge_l": 0.2, **{f"bleu_{order}": 0.1 for order in range(1, 5)}}
    monkeypatch.setattr(trainer.task, "validate", lambda *_: found)
    monkeypatch.setattr(trainer, "step", lambda _: 1.0)
    assert trainer.run()
    assert trainer.progress.epoch == 3  # the first is the best, two more bring nothing


def test_a_run_is_not_overwritten(recipe: Recipe) -> None:
    start(recipe)
    with pytest.raises(TrainingError, match="already holds a run; go on with --resume"):
        start(recipe)


def test_a_loss_that_is_no_number_names_its_batch(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = start(recipe)
    monkeypatch.setattr(trainer.task, "loss", lambda *_: [torch.tensor(float("nan"), requires_grad=True)])
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 1, batch 1 \(images 10\d\d"):
        trainer.run()
    assert resume(recipe.run_dir).progress.position == 0


def test_a_gradient_that_is_no_number_spoils_no_weight(recipe: Recipe) -> None:
    """The loss is a number; clipped by an infinite norm, the gradient would be none, and then every weight."""
    trainer = start(recipe)
    before = {name: value.clone() for name, value in weights(trainer).items()}
    [first, *_] = trainer.task.model.decoder.parameters()
    first.register_hook(lambda gradient: torch.full_like(gradient, float("inf")))
    told = r"the norm of the gradient became (inf|nan) in epoch 1, batch 1 \(images 10\d\d.*\); .*lower learning rate"
    with pytest.raises(TrainingError, match=told):
        trainer.run()
    assert all(torch.equal(value, before[name]) for name, value in weights(trainer).items())
    resumed = resume(recipe.run_dir)
    assert resumed.progress.position == 0
    assert all(torch.equal(value, before[name]) for name, value in weights(resumed).items())


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no run that can be resumed"):
        resume(tmp_path)


def test_a_damaged_run_state_is_an_error(recipe: Recipe) -> None:
    trainer = start(recipe)
    trainer.state_file.write_bytes(trainer.state_file.read_bytes()[:-50])
    with pytest.raises(TrainingError, match="cannot resume from this run state"):
        resume(recipe.run_dir)


def test_missing_encoder_weights_are_an_error(recipe: Recipe) -> None:
    with pytest.raises(CaptionerError, match="not a readable safetensors file"):
        start(replace(recipe, encoder_weights="nowhere.safetensors"))
