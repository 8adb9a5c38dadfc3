"""Ways to interrupt a training run."""

import os
import signal
from typing import Any

import pytest

from training.runs.run import Run


def stop_after(run: Run[Any], steps: int, monkeypatch: pytest.MonkeyPatch, number: int = signal.SIGTERM) -> None:
    """Let the process send itself a signal while a step is in work."""
    learn, done = run.step, 0

    def step(batch: Any) -> float:
        nonlocal done
        done += 1
        if done == steps:
            os.kill(os.getpid(), number)
        return learn(batch)

    monkeypatch.setattr(run, "step", step)
