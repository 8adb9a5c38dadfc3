"""The moving average of weights: it forgets where it began, and never lags behind a whole phase."""

import math
from dataclasses import replace
from typing import Any

import pytest
from torch import nn

from training.phase import PhaseRecipe
from training.recipe import Recipe
from training.runs.averaging import MovingAverage, ramped_decay
from training.runs.start import start


@pytest.mark.parametrize(("steps", "decay"), [(0, 0.1), (1, 2 / 11), (90, 0.91), (10**6, 0.998)])
def test_the_decay_climbs_with_the_steps(steps: int, decay: float) -> None:
    assert ramped_decay(0.998, steps) == pytest.approx(decay)


def weight_of(average: MovingAverage) -> float:
    return next(average.module.parameters()).item()


def test_it_is_the_recurrence_of_its_definition() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = MovingAverage(network, 0.6)
    expected = 0.0
    for step in range(12):
        value = float(step) ** 1.5
        nn.init.constant_(network.weight, value)
        average.update_parameters(network)
        expected = value if step == 0 else expected + (1 - min(0.6, (1 + step) / (10 + step))) * (value - expected)
        assert weight_of(average) == pytest.approx(expected, rel=1e-6)


def test_zero_keeps_the_weights_themselves() -> None:
    network = nn.Linear(1, 1)
    average = MovingAverage(network, 0.0)
    for value in (1.0, 5.0, 2.0):
        nn.init.constant_(network.weight, value)
        average.update_parameters(network)
        assert weight_of(average) == value


def distance(average: nn.Module, network: nn.Module) -> float:
    pairs = zip(average.parameters(), network.parameters(), strict=True)
    return math.sqrt(sum((one - other).detach().square().sum().item() for one, other in pairs))


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 4])
def test_a_short_run_keeps_what_it_has_learnt(recipe: Recipe, epochs: int) -> None:
    """After 4 or 16 steps an average over about 1000 of them is nearer to where the weights are than to their start."""
    phase = PhaseRecipe(epochs=epochs, learning_rate=0.01, schedule="constant", warmup=0.0)
    trainer = start(replace(recipe, training=replace(recipe.training, average=0.999, phases=(phase,))))
    fresh = [parameter.clone() for parameter in trainer.task.model.parameters()]
    seen: dict[str, float] = {}
    finish = trainer.end_phase

    def look() -> None:
        assert trainer.task.average is not None
        seen["now"] = distance(trainer.task.average.module, trainer.task.model)
        pairs = zip(trainer.task.average.module.parameters(), fresh, strict=True)
        seen["start"] = sum((one - other).detach().square().sum().item() for one, other in pairs) ** 0.5
        finish()

    trainer.end_phase = look  # type: ignore[method-assign]
    trainer.run()
    assert seen["now"] < 0.5 * seen["start"]


@pytest.mark.slow
def test_each_phase_counts_its_own_steps(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the first phase was, the second's average follows its weights from the first step on."""
    phase = PhaseRecipe(epochs=1, learning_rate=0.01)
    trainer = start(replace(recipe, training=replace(recipe.training, average=0.999, phases=(phase, phase))))
    learn: Any = trainer.step
    counts: list[tuple[int, int]] = []

    def step(batch: Any) -> float:
        value: float = learn(batch)
        assert trainer.task.average is not None
        counts.append((trainer.progress.phase, int(trainer.task.average.n_averaged)))
        if counts[-1][1] == 1:
            assert distance(trainer.task.average.module, trainer.task.model) == 0
        return value

    monkeypatch.setattr(trainer, "step", step)
    trainer.run()
    assert counts == [(phase, step) for phase in (0, 1) for step in range(1, trainer.task.epoch_steps + 1)]
