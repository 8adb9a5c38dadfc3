"""What every training run does: learn, validate, keep the best; stop anywhere and resume to the same result."""

import math
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from training.errors import TrainingError
from training.recipe import RunRecipe
from training.runs.distributed import World
from training.runs.folder import RunFolder
from training.runs.optim import uses_bfloat16
from training.runs.overview import device_name
from training.runs.state import Progress, load_run_state, save_run_state


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event that the loop looks at between two steps; a second one acts as usual."""
    stop = threading.Event()
    old: dict[int, Any] = {}

    def request(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, old[number])

    for stopping in (signal.SIGINT, signal.SIGTERM):
        old[stopping] = signal.signal(stopping, request)
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


BatchT = TypeVar("BatchT")
ModelT = TypeVar("ModelT")


class Run(Generic[BatchT, ModelT], ABC):
    """One training run in its folder.

    Args:
        folder: Of the run; see :class:`training.runs.folder.RunFolder`.
        training: How to learn.
        network: Whose weights learn.
        optimizer: What makes them learn.
        epoch_steps: Batches of an epoch.
        world: The processes that train together; the others than the first are silent and write nothing.
    """

    def __init__(
        self,
        folder: Path,
        training: RunRecipe,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        epoch_steps: int,
        world: World,
    ) -> None:
        self.folder = folder
        self.files = RunFolder(folder)
        self.training = training
        self.network = network
        self.epoch_steps = epoch_steps
        self.optimizer = optimizer
        self.world = world
        self.progress = Progress()
        self.low_precision = uses_bfloat16(training.precision, world.device)

    piece: ClassVar[str]  # what the progress bar counts by the second

    @property
    def state_file(self) -> Path:
        """What the run goes on from."""
        return self.files.state_file

    @property
    def best_file(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.files.best_file

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the best quality, the first of them if several, from 0; ``None`` before the first."""
        history = self.progress.history
        return max(range(len(history)), key=lambda epoch: self._quality(history[epoch]), default=None)

    @property
    def steps_done(self) -> int:
        """Steps since the run's first one, at the position of the progress."""
        return self.progress.epoch * self.epoch_steps + self.progress.position

    @property
    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """What the run state holds the weights and buffers of."""

    @property
    @abstractmethod
    def epochs(self) -> int:
        """How many epochs the run has at most."""

    @abstractmethod
    def _learning_rates(self) -> Sequence[float]:
        """Return the learning rate of each parameter group at the position of the progress."""

    @abstractmethod
    def _batch(self) -> BatchT:
        """Return what to learn from at the position of the progress."""

    @abstractmethod
    def _pieces(self, batch: BatchT) -> int:
        """Return how many pieces a batch has for all processes together, for the progress bar."""

    @abstractmethod
    def _describe(self, batch: BatchT) -> str:
        """Name a batch, for a message."""

    @abstractmethod
    def _loss(self, batch: BatchT) -> Tensor:
        """Return what is minimised."""

    @abstractmethod
    def _kept_model(self) -> ModelT:
        """Return what is validated and kept, in evaluation mode."""

    @abstractmethod
    def _validate(self, model: ModelT) -> dict[str, float]:
        """Return an epoch's validation scores."""

    @abstractmethod
    def _quality(self, entry: dict[str, float]) -> tuple[float, ...]:
        """Return by what epochs are compared, from an entry of the history: the higher the better, the first first."""

    def _told(self, entry: dict[str, float]) -> str:
        """Return an entry of the history for people."""
        return ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in entry.items())

    def overview(self) -> list[tuple[str, str]]:
        """Return what the run learns from, with what and where: names and values, for people."""
        precision = "bfloat16" if self.low_precision else "float32"
        return [("device", f"{device_name(self.world)}, {precision}"), ("folder", str(self.folder))]

    def remarks(self) -> list[str]:
        """Return what whoever uses the best epoch's model must be warned of."""
        return []

    @abstractmethod
    def _write_best(self, model: ModelT, found: dict[str, Any]) -> None:
        """Write the checkpoint of the best epoch.

        Args:
            model: What to write.
            found: What to add to its provenance.
        """

    def begin(self, recipe: Any) -> None:
        """Make the run's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.save()
        if self.world.leads:
            self.files.write_recipe(recipe)
        self.world.wait()

    def resume(self) -> None:
        """Go on from the run's last saved state.

        Raises:
            TrainingError: If there is none, or it does not fit the recipe.
        """
        self.progress = load_run_state(self.state_file, self.modules, self.optimizer, self.world)

    def run(self) -> bool:
        """Train until the last epoch, until validation stops improving, or until stopped by SIGINT or SIGTERM.

        Returns:
            Whether the run is finished; if not, it can be resumed.

        Raises:
            TrainingError: If the loss or the gradient is not a number.
        """
        while not self._over():
            self._prepare()  # outside of what follows, so that a signal ends it at once
            with stop_signals() as stop:
                if not self._learn(stop):
                    self.save()
                    return False
                self._finish_epoch()
                [stopping] = self.world.sums(stop.is_set())  # a signal may have come to one process alone
            if stopping and not self._over():
                return False
        return True

    def save(self) -> None:
        """Write the run state."""
        save_run_state(self.state_file, self.modules, self.optimizer, self.progress, self.world)

    def _over(self) -> bool:
        epoch, best = self.progress.epoch, self.best_epoch
        stale = 0 if best is None else epoch - 1 - best
        return epoch >= self.epochs or stale >= self.training.patience

    def _prepare(self) -> None:
        """Make what an epoch learns from; what takes long goes on where it was when it is done again."""

    def _after_epoch(self) -> None:
        """Do what is due between two epochs, before the run state is saved."""

    def _learn(self, stop: threading.Event) -> bool:
        """Go through the rest of the epoch; return False if stopped before its end."""
        progress = self.progress
        self.network.train()
        saved = time.monotonic()
        title = f"epoch {progress.epoch + 1}/{self.epochs}"
        hidden = not self.world.leads
        with tqdm(total=self.epoch_steps, initial=progress.position, desc=title, unit="batch", disable=hidden) as bar:
            while progress.position < self.epoch_steps:
                late = time.monotonic() - saved > 60 * self.training.save_minutes
                stopping, saving = self.world.sums(stop.is_set(), late)  # what one process must, all of them do
                if stopping:
                    return False
                if saving:
                    self.save()
                    saved = time.monotonic()
                batch = self._batch()
                progress.loss_sum += self._step(batch)
                progress.position += 1
                bar.update()
                rate = (bar.format_dict["rate"] or 0) * self._pieces(batch)
                loss = f"{progress.loss_sum / progress.position:.3f}"
                bar.set_postfix({"loss": loss, f"{self.piece}s/s": f"{rate:.0f}"})
        return True

    def _step(self, batch: BatchT) -> float:
        """Learn from one batch; return its loss."""
        for group, rate in zip(self.optimizer.param_groups, self._learning_rates(), strict=True):
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        value = self._backward(batch)
        self._require_number("loss", value, batch)
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), self.training.clip_norm))
        self._require_number("norm of the gradient", norm, batch)  # else the step would spoil every weight
        self.optimizer.step()
        self._note(value, norm)
        return value

    def _require_number(self, what: str, value: float, batch: BatchT) -> None:
        """Make sure that a value is finite; all processes have the same one.

        Raises:
            TrainingError: If it is not; the message names what this batch is made of, in all processes.
        """
        if math.isfinite(value):
            return
        shown = "; ".join(self.world.gather(self._describe(batch)))
        epoch, number = self.progress.epoch + 1, self.progress.position + 1
        raise TrainingError(
            f"the {what} became {value} in epoch {epoch}, batch {number} ({shown}); "
            "look at these, then start anew with a lower learning rate or with --set training.precision=float32. "
            "The last saved state is intact."
        )

    def _note(self, loss: float, gradient_norm: float) -> None:
        """Do what is due after a step.

        Args:
            loss: Of the batch.
            gradient_norm: The L2 norm of its gradient before it was clipped.
        """

    def _backward(self, batch: BatchT) -> float:
        """Compute the gradient of a batch; return its loss."""
        loss = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _finish_epoch(self) -> None:
        progress = self.progress
        model = self._kept_model()
        scores = self._validate(model)
        entry = {"loss": progress.loss_sum / progress.position, **scores}
        if self.world.leads:
            tqdm.write(f"epoch {progress.epoch + 1}: {self._told(entry)}")
        progress.history.append(entry)
        progress.position, progress.loss_sum = 0, 0.0
        if self.best_epoch == progress.epoch - 1 and self.world.leads:
            self._write_best(model, {"epoch": progress.epoch, "validation": scores})
        self._after_epoch()
        self.save()
        if self.world.leads:
            self.files.write_history(progress.history)

    def _autocast(self) -> torch.autocast:
        """Return the context in which networks multiply in the precision of the recipe."""
        return torch.autocast(self.world.device.type, torch.bfloat16, enabled=self.low_precision)
