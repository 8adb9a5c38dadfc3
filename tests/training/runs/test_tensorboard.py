"""What TensorBoard shows of a run, read back from its event files."""

from dataclasses import replace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from training.captioning.task import SHOWN
from training.phase import PhaseRecipe
from training.recipe import Recipe
from training.runs.start import resume, start

pytestmark = pytest.mark.slow


def events(recipe: Recipe) -> EventAccumulator:
    found = EventAccumulator(str(recipe.run_dir / "board"), size_guidance={"images": 0, "tensors": 0})
    found.Reload()
    return found


def test_curves_captions_and_heatmaps(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.runs.tensorboard.EVERY", 1)
    recipe = replace(recipe, training=replace(recipe.training, phases=(PhaseRecipe(epochs=2, learning_rate=0.01),)))
    trainer = start(recipe)
    trainer.run()
    board, steps = events(recipe), trainer.task.epoch_steps
    losses = [point.value for point in board.Scalars("loss")]
    assert [point.step for point in board.Scalars("learning rate")] == list(range(2 * steps))
    assert [point.step for point in board.Scalars("validation/cider")] == [steps, 2 * steps]
    for epoch, entry in enumerate(trainer.progress.history):
        assert board.Scalars("validation/rouge_l")[epoch].value == pytest.approx(entry["rouge_l"])
        assert np.mean(losses[epoch * steps : (epoch + 1) * steps]) == pytest.approx(entry["loss"], rel=1e-5)
    assert all(point.value > 0 for point in board.Scalars("gradient norm"))
    assert [image.step for image in board.Images(f"photo {SHOWN}")] == [steps, 2 * steps]
    [text, _] = board.Tensors("captions/text_summary")
    assert make_ndarray(text.tensor_proto)[0].decode().count("\n") == SHOWN - 1


def test_a_resumed_run_goes_on_in_the_same_curves(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.runs.tensorboard.EVERY", 1)
    trainer = start(recipe)
    step = trainer.step

    def die(batch: object) -> float:
        if trainer.progress.epoch == 1 and trainer.progress.position == 2:
            raise MemoryError
        return step(batch)

    monkeypatch.setattr(trainer, "step", die)
    with pytest.raises(MemoryError):
        trainer.run()
    resume(recipe.run_dir).run()
    assert [point.step for point in events(recipe).Scalars("loss")] == list(range(3 * trainer.task.epoch_steps))
