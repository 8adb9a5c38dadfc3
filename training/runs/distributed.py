"""The processes that train together, and the device of each."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from captioner.devices import AUTO, find_device
from training.errors import TrainingError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """One process among those that torchrun started, or alone.

    Attributes:
        rank: Which one, from 0.
        size: How many there are.
        device: Where it computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks to people."""
        return self.rank == 0

    def sums(self, *values: float) -> list[float]:
        """Return the sums of some numbers over all processes."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return list(total.tolist())

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found

    def share(self, value: T | None) -> T:
        """Return the value that the leading process has; the others give ``None``."""
        return self.gather(value)[0]  # type: ignore[return-value]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """Return every ``size``-th item, from the one of this rank on."""
        return items[self.rank :: self.size]

    def merge(self, parts: Sequence[Sequence[T]]) -> list[T]:
        """Put together what :meth:`part` took apart."""
        merged: list[T | None] = [None] * sum(map(len, parts))
        for rank, part in enumerate(parts):
            merged[rank :: self.size] = part
        return merged  # type: ignore[return-value]


def restarts() -> int:
    """Return how often torchrun has started this node's processes again because one of them had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def _attempt() -> int:
    """Return what tells this start of all processes from those before; on several nodes the counts may differ."""
    return restarts() if os.environ.get("GROUP_WORLD_SIZE", "1") == "1" else 0


def lone_world(command: str, device: str = AUTO) -> World:
    """Return the world of a run that is of one process, on the device that :func:`join_world` would take.

    Args:
        command: What starts the run, for a message.
        device: As :func:`join_world` takes it.

    Raises:
        TrainingError: If torchrun started several processes, each of which would do the same.
        OptionError: If this machine has no such device.
    """
    if _size() > 1:
        raise TrainingError(
            f"{command} is of one process, and torchrun started {_size()}; start it as python -m training {command}"
        )
    return World(device=_device(device))


def _size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _device(name: str) -> torch.device:
    """Return a device; ``auto`` and ``cuda`` are the GPU of this process's local rank."""
    if _size() > 1 and (name == "mps" or name.startswith("cuda:")):
        raise TrainingError(
            f"device is {name}, one device, and torchrun started {_size()} processes; "
            "with cuda each takes the GPU of its own local rank"
        )
    device = find_device(name, int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


@contextmanager
def join_world(name: str = AUTO) -> Iterator[World]:
    """Join the processes that torchrun started (its environment says so), for as long as the context lasts.

    GPUs talk over NCCL, CPUs over gloo. Each process takes the GPU of its local rank.

    Args:
        name: Of the device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; see :mod:`captioner.devices`.

    Raises:
        OptionError: If this machine has no such device.
        TrainingError: If the name is of one device, and there are several processes.
    """
    size, device = _size(), _device(name)
    if size == 1:
        yield World(device=device)
        return
    # Processes that are started again must not find the addresses of those that died. On several nodes that is
    # torchrun's part: with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 each start has a store of its own.
    store, rank, size = next(rendezvous("env://"))
    attempt = PrefixStore(f"attempt_{_attempt()}", store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=attempt, rank=rank, world_size=size)
    try:
        yield World(rank, size, device)
    finally:
        distributed.destroy_process_group()
