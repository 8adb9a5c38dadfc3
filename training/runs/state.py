"""Everything that a run needs to go on as if it had never stopped, in one safetensors file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from captioner.checkpoint import write_safetensors
from captioner.config import STRICT, from_dict
from training.errors import TrainingError
from training.runs.distributed import World


@dataclass
class Progress:
    """Where a run is.

    Attributes:
        position: Batches of the epoch in work that are done.
        loss_sum: Sum of their losses.
        history: What each finished epoch brought: its mean loss and its validation scores.
        samples: What a language model wrote after each finished epoch; empty for other models.
        phase: The phase in work, from 0.
        phase_epoch: Epochs of it that are done.
    """

    __pydantic_config__ = STRICT
    position: int = 0
    loss_sum: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    phase: int = 0
    phase_epoch: int = 0

    @property
    def epoch(self) -> int:
        """The epoch in work, counted from 0."""
        return len(self.history)

    def steps(self, epoch_steps: int) -> int:
        """Return how many steps the run has done, given how many an epoch has."""
        return self.epoch * epoch_steps + self.position

    def phase_steps(self, epoch_steps: int) -> int:
        """Return how many of them are of the phase in work."""
        return self.phase_epoch * epoch_steps + self.position


def save_run_state(
    path: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, progress: Progress, world: World
) -> None:
    """Write modules, the optimizer's moments, every process's random generators and the progress; atomically.

    All processes call it together, and the leading one writes.
    """
    states = world.gather(_random_states())
    if not world.leads:
        return
    tensors = {f"random.{rank}.{name}": state for rank, found in enumerate(states) for name, state in found.items()}
    for prefix, module in modules.items():
        tensors |= {
            f"{prefix}.{name}": value.detach().cpu().clone().contiguous() for name, value in module.state_dict().items()
        }
    for key, value in _optimizer_tensors(optimizer):
        tensors[key] = value
    write_safetensors(path, tensors, {"progress": json.dumps(asdict(progress))})


def load_run_state(
    path: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, world: World
) -> Progress:
    """Restore what :func:`save_run_state` wrote.

    With another number of processes than before the run goes on, but draws other random numbers.

    Raises:
        TrainingError: If the file cannot be read, or does not fit the modules.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            progress = from_dict(Progress, json.loads((file.metadata() or {})["progress"]), str(path))
        for prefix, module in modules.items():
            module.load_state_dict(_below(tensors, prefix))
        _restore_optimizer(optimizer, tensors)
        _restore_random(tensors, world)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(f"{path}: cannot resume from this run state: {error}") from None
    return progress


def read_progress(path: Path) -> Progress:
    """Return where a run was when its state was last saved.

    Raises:
        TrainingError: If the file cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return from_dict(Progress, json.loads((file.metadata() or {})["progress"]), str(path))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise TrainingError(f"{path}: cannot read this run state: {error}") from None


def _random_states() -> dict[str, Tensor]:
    cuda = {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"cpu": torch.get_rng_state(), **cuda}


def _restore_random(tensors: dict[str, Tensor], world: World) -> None:
    if f"random.{world.size - 1}.cpu" not in tensors or f"random.{world.size}.cpu" in tensors:
        torch.manual_seed(int(tensors["random.0.cpu"].sum()) + world.rank)
        return
    torch.set_rng_state(tensors[f"random.{world.rank}.cpu"])
    if f"random.{world.rank}.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors[f"random.{world.rank}.cuda"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            yield f"optimizer.{index}.{name}", value.detach().cpu().clone().contiguous()


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _below(tensors, "optimizer").items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape:  # fused steps go through both in the order in which they lie in memory
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
