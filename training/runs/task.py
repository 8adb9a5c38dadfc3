"""What a run needs of a task, and all that it needs: captioning, concepts and language are three of them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from training.runs.averaging import MovingAverage
from training.runs.distributed import World
from training.runs.state import Progress
from training.runs.tensorboard import Board

BatchT = TypeVar("BatchT")


class Task(Protocol[BatchT]):
    """What is learnt: the batches, the loss, the scores. How that goes on, stops and resumes is the run's.

    A task keeps no position of its own: the run hands it the progress, and whatever else a task must remember from one
    batch to the next lies in ``modules``.

    Attributes:
        recipe: Of the run, with ``training``, a :class:`training.recipe.RunRecipe`, and ``run_dir``.
        world: The processes that train together.
        network: Whose weights learn.
        average: The moving average of them that is validated and kept; ``None`` keeps the weights themselves.
        modules: What the run state holds the weights and buffers of.
        optimizer: What makes the weights learn.
        epochs: Of each phase, at most.
        epoch_steps: Batches of an epoch.
    """

    recipe: Any
    world: World
    network: nn.Module
    average: MovingAverage | None = None
    modules: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer
    epochs: tuple[int, ...]
    epoch_steps: int

    def enter(self, progress: Progress) -> None:  # noqa: ARG002
        """Get ready for the phase in work, unless that is done; what takes long goes on where it was if asked again."""
        return

    def batch(self, progress: Progress) -> BatchT:
        """Return what this process learns from at a position."""
        ...

    def rates(self, progress: Progress) -> Sequence[float]:
        """Return the learning rate of each of the optimizer's parameter groups at a position."""
        ...

    def loss(self, batch: BatchT, progress: Progress) -> Iterator[Tensor]:
        """Yield the loss of this process's batch, in one or more shares that add up to it.

        The gradient of a share is computed before the next one is asked for.
        """
        ...

    def validate(self, progress: Progress, board: Board | None) -> dict[str, float]:
        """Return the validation scores of an epoch whose batches are all done, and show them on the board."""
        ...

    def quality(self, entry: Mapping[str, float]) -> tuple[float, ...]:
        """Return by what epochs are compared, from an entry of the history: the higher the better, the first first."""
        ...

    def counts_patience(self, history: Sequence[Mapping[str, float]]) -> bool:  # noqa: ARG002
        """Tell whether an epoch that brings nothing better is one too many already."""
        return True

    def export(self, path: Path, found: Mapping[str, Any]) -> None:
        """Write the checkpoint of what was just validated.

        Args:
            path: Where to.
            found: What to add to its provenance.
        """
        ...

    def pieces(self, batch: BatchT) -> tuple[int, str]:
        """Return how much a batch is for all processes together and of what, for the progress bar: 100, "captions"."""
        ...

    def describe(self, batch: BatchT) -> str:
        """Name a batch, for a message."""
        ...

    def told(self, progress: Progress) -> str:
        """Return what the last epoch brought, for people."""
        ...

    def overview(self) -> list[tuple[str, str]]:
        """Return what is learnt from, and with what: names and values, for people."""
        ...

    def remarks(self, history: Sequence[Mapping[str, float]]) -> list[str]:  # noqa: ARG002
        """Return what whoever uses the best epoch's model must be warned of."""
        return []
