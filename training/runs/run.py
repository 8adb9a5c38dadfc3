"""What every training run does: learn, validate, keep the best; stop anywhere and resume to the same result."""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn
from tqdm import tqdm

from training.errors import TrainingError
from training.recipe import RunRecipe
from training.runs.folder import RunFolder
from training.runs.optim import uses_bfloat16
from training.runs.overview import device_name
from training.runs.state import Progress, load_run_state, save_run_state
from training.runs.task import Task
from training.runs.tensorboard import Board


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


TaskT = TypeVar("TaskT", bound=Task[Any])


class Run(Generic[TaskT]):
    """One run of a task, in its folder.

    A run is one phase or more; each is over after its epochs, or when validation has not improved for as many of them
    as there is patience. The next one starts from the averaged weights, if there are any, with fresh moments.

    Args:
        task: What is learnt.
        board: Whether TensorBoard shows it.
    """

    def __init__(self, task: TaskT, *, board: bool = False) -> None:
        self.task = task
        self.training: RunRecipe = task.recipe.training
        self.files = RunFolder(task.recipe.run_dir)
        self.world = task.world
        self.progress = Progress()
        self._has_board = board and self.world.leads
        self._board: Board | None = None

    @property
    def folder(self) -> Path:
        """Where everything of the run lies."""
        return self.files.path

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
        return max(range(len(history)), key=lambda epoch: self.task.quality(history[epoch]), default=None)

    @property
    def epochs(self) -> int:
        """How many epochs the run has at most: those of the phases that are over, and those of the others' recipes."""
        progress = self.progress
        return progress.epoch - progress.phase_epoch + sum(self.task.epochs[progress.phase :])

    def overview(self) -> list[tuple[str, str]]:
        """Return what the run learns from, with what and where: names and values, for people."""
        low_precision = uses_bfloat16(self.training.precision, self.world.device)
        device = f"{device_name(self.world)}, {'bfloat16' if low_precision else 'float32'}"
        return [*self.task.overview(), ("device", device), ("folder", str(self.folder))]

    def remarks(self) -> list[str]:
        """Return what whoever uses the best epoch's model must be warned of."""
        return self.task.remarks(self.progress.history)

    def begin(self) -> None:
        """Make the run's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.save()
        if self.world.leads:
            self.files.write_recipe(self.task.recipe)
        self.world.wait()

    def resume(self) -> None:
        """Go on from the run's last saved state.

        Raises:
            TrainingError: If there is none, or it does not fit the recipe.
        """
        task = self.task
        self.progress = load_run_state(self.state_file, task.modules, task.optimizer, self.world)

    def save(self) -> None:
        """Write the run state."""
        save_run_state(self.state_file, self.task.modules, self.task.optimizer, self.progress, self.world)

    def run(self) -> bool:
        """Train until the last epoch, until validation stops improving, or until stopped by SIGINT or SIGTERM.

        Returns:
            Whether the run is finished; if not, it can be resumed.

        Raises:
            TrainingError: If the loss or the gradient is not a number.
        """
        with ExitStack() as stack:
            if self._has_board:
                self._board = Board(self.files.board, self.progress.steps(self.task.epoch_steps))
                stack.callback(self._board.close)
            return self._run()

    def _run(self) -> bool:
        while not self._over():
            self.task.enter(self.progress)  # outside of what follows, so that a signal ends it at once
            with stop_signals() as stop:
                if not self._learn(stop):
                    self.save()
                    return False
                self._finish_epoch()
                [stopping] = self.world.sums(stop.is_set())  # a signal may have come to one process alone
            if stopping and not self._over():
                return False
        return True

    def _over(self) -> bool:
        return self.progress.phase >= len(self.task.epochs)

    def _learn(self, stop: threading.Event) -> bool:
        """Go through the rest of the epoch; return False if stopped before its end."""
        task, progress = self.task, self.progress
        task.network.train()
        saved = time.monotonic()
        title = f"epoch {progress.epoch + 1}/{self.epochs}"
        hidden = not self.world.leads
        with tqdm(total=task.epoch_steps, initial=progress.position, desc=title, unit="batch", disable=hidden) as bar:
            while progress.position < task.epoch_steps:
                late = time.monotonic() - saved > 60 * self.training.save_minutes
                stopping, saving = self.world.sums(stop.is_set(), late)  # what one process must, all of them do
                if stopping:
                    return False
                if saving:
                    self.save()
                    saved = time.monotonic()
                batch = task.batch(progress)
                progress.loss_sum += self.step(batch)
                progress.position += 1
                bar.update()
                count, unit = task.pieces(batch)
                rate = (bar.format_dict["rate"] or 0) * count
                bar.set_postfix({"loss": f"{progress.loss_sum / progress.position:.3f}", f"{unit}/s": f"{rate:.0f}"})
        return True

    def step(self, batch: Any) -> float:
        """Learn from one batch; return its loss."""
        task, optimizer, progress = self.task, self.task.optimizer, self.progress
        rates = task.rates(progress)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        for share in task.loss(batch, progress):
            (share * self.world.size).backward()  # type: ignore[no-untyped-call]  # what several processes exchange are means
            loss += float(share.detach())
        [loss] = self.world.sums(loss)
        self._require_number("loss", loss, batch)
        norm = float(nn.utils.clip_grad_norm_(task.network.parameters(), self.training.clip_norm))
        self._require_number("norm of the gradient", norm, batch)  # else the step would spoil every weight
        optimizer.step()
        if task.average is not None:
            task.average.update_parameters(task.network)
        if self._board is not None:
            numbers = {"loss": loss, "gradient norm": norm, "learning rate": rates[0]}
            self._board.step(progress.steps(task.epoch_steps), numbers)
        return loss

    def _require_number(self, what: str, value: float, batch: Any) -> None:
        """Make sure that a value is finite; all processes have the same one.

        Raises:
            TrainingError: If it is not; the message names what this batch is made of, in all processes.
        """
        if math.isfinite(value):
            return
        shown = "; ".join(self.world.gather(self.task.describe(batch)))
        epoch, number = self.progress.epoch + 1, self.progress.position + 1
        raise TrainingError(
            f"the {what} became {value} in epoch {epoch}, batch {number} ({shown}); "
            "look at these, then start anew with a lower learning rate or with --set training.precision=float32. "
            "The last saved state is intact."
        )

    def _finish_epoch(self) -> None:
        """Validate, keep the model if it is the best, and go on to the next epoch."""
        task, progress = self.task, self.progress
        scores = task.validate(progress, self._board)
        progress.history.append({"loss": progress.loss_sum / progress.position, **scores})
        progress.position, progress.loss_sum = 0, 0.0
        progress.phase_epoch += 1
        if self.world.leads:
            tqdm.write(f"epoch {progress.epoch}: {task.told(progress)}")
            if self.best_epoch == progress.epoch - 1:
                task.export(self.best_file, {"epoch": progress.epoch, "validation": scores})
        if progress.phase_epoch >= task.epochs[progress.phase] or self._stale() >= self.training.patience:
            self.end_phase()
        self.save()
        if self.world.leads:
            self.files.write_history(progress.history)

    def _stale(self) -> int:
        """Return for how many epochs the phase has brought nothing better than its own best."""
        history = self.progress.history
        if not self.task.counts_patience(history):
            return 0
        values = [self.task.quality(entry) for entry in history[-self.progress.phase_epoch :]]
        return len(values) - 1 - values.index(max(values))

    def end_phase(self) -> None:
        """Let the next phase start from the averaged weights, with fresh moments."""
        task = self.task
        if task.average is not None:
            task.network.load_state_dict(task.average.module.state_dict())
            task.average.begin()
        task.optimizer.state.clear()
        self.progress.phase += 1
        self.progress.phase_epoch = 0
