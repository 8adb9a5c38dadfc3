"""Learning rates by step."""

import pytest

from training.phase import PhaseRecipe
from training.runs.optim import one_cycle, phase_share

STEPS = 10  # of an epoch


def shares(**options: object) -> list[float]:
    phase = PhaseRecipe(**options)  # type: ignore[arg-type]
    return [phase_share(phase, step, STEPS) for step in range(phase.epochs * STEPS)]


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_it_climbs_to_the_peak(schedule: str) -> None:
    found = shares(epochs=4, warmup=0.25, schedule=schedule)
    assert found[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert max(found) == pytest.approx(1.0)


def test_a_cosine_falls_to_zero() -> None:
    found = shares(epochs=5, warmup=0.1)
    assert found[5:] == sorted(found[5:], reverse=True)
    assert found[-1] < 0.01
    assert found == [one_cycle(step, 50, 0.1) for step in range(50)]


def test_steps_and_constants() -> None:
    assert shares(epochs=2, warmup=0.0, schedule="constant") == [1.0] * 20
    found = shares(epochs=6, warmup=0.0, schedule="step", step_epochs=2, step_factor=0.5)
    assert found == [1.0] * 20 + [0.5] * 20 + [0.25] * 20
