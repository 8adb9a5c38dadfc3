"""Everything that a run needs to go on as if it had never stopped, in one safetensors file."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from captioner.checkpoint import write_safetensors
from captioner.config import STRICT, from_dict
from training.errors import TrainingError


@dataclass
class Progress:
    """Where a run is.

    Attributes:
        position: Batches of the epoch in work that are done.
        loss_sum: Sum of their losses.
        history: What each finished epoch brought: its mean loss and its validation scores.
        samples: What a language model wrote after each finished epoch; empty for other models.
    """

    __pydantic_config__ = STRICT
    position: int = 0
    loss_sum: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """The epoch in work, counted from 0."""
        return len(self.history)


def save_run_state(
    path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    """Write modules, the optimizer's moments, the random generator and the progress; the write is atomic."""
    tensors = {"random": torch.get_rng_state()}
    for prefix, module in modules.items():
        tensors |= {f"{prefix}.{name}": value.detach().clone() for name, value in module.state_dict().items()}
    for key, value in _optimizer_tensors(optimizer):
        tensors[key] = value
    write_safetensors(path, tensors, {"progress": json.dumps(asdict(progress))})


def load_run_state(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> Progress:
    """Restore what :func:`save_run_state` wrote.

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
        torch.set_rng_state(tensors["random"])
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(f"{path}: cannot resume from this run state: {error}") from None
    return progress


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            yield f"optimizer.{index}.{name}", value.detach().clone()


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _below(tensors, "optimizer").items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
