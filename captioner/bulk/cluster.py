"""The engine of a Ray cluster, or of a Ray that is started on this machine: the blocks as a data set of Ray Data.

The rows do not travel through Ray: its workers write them, to a folder that all of them see, and what comes back are
reports. A worker that dies is started again by Ray, and its block is done again unless its shard was written.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

from captioner.bulk.folder import BlockRef, BlockReport
from captioner.bulk.job import BulkTask, Engine
from captioner.bulk.worker import BlockCaptioner
from captioner.devices import AUTO
from captioner.errors import ConfigError, OptionError

MOST_TASKS = 10_000  # of Ray, each of some blocks if there are more: its own limit is the memory of the head node


def ray_engine(device: str = AUTO, workers: int | None = None) -> Engine:
    """Return an engine of actors on a Ray cluster: of ``RAY_ADDRESS``, or else of one that is started here.

    Args:
        device: ``cuda`` gives each actor a GPU, ``cpu`` a CPU; ``auto`` a GPU if the cluster has one.
        workers: How many actors; ``None`` is as many as the cluster has GPUs or CPUs.

    Raises:
        ConfigError: If Ray is not installed.
        OptionError: If the device is one of a certain machine.
    """
    if device not in (AUTO, "cpu", "cuda"):
        raise OptionError(f"device is {device}, which is of one machine; on Ray it must be auto, cpu or cuda")
    try:
        import ray.data  # noqa: PLC0415 - an extra, which is not always there
    except ModuleNotFoundError:
        raise ConfigError("Ray is not installed; pip install 'captioner[ray]' installs it") from None

    def run(task: BulkTask, blocks: Iterable[BlockRef]) -> Iterator[BlockReport]:
        if not ray.is_initialized():
            _start(ray)
        _quieten(ray)
        gpu, count = _places(ray, device, workers)
        refs = [{"number": block.number, "offset": block.offset} for block in blocks]
        if not refs:
            return
        found = ray.data.from_items(refs, override_num_blocks=min(len(refs), MOST_TASKS)).map(
            _Captioner,
            fn_constructor_args=(task, "cuda" if gpu else "cpu"),
            compute=ray.data.ActorPoolStrategy(size=min(count, len(refs))),
            num_cpus=None if gpu else 1,
            num_gpus=1 if gpu else None,
        )
        for row in found.iter_rows():
            yield BlockReport(int(row["block"]), int(row["photos"]), int(row["errors"]))

    return run


class _Captioner:
    """An actor that captions a block per row: its number and place in the plan become its report."""

    def __init__(self, task: BulkTask, device: str) -> None:
        readers = len(os.sched_getaffinity(0)) if device == "cuda" and hasattr(os, "sched_getaffinity") else 1
        self._captioner = BlockCaptioner(task, device, readers)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        report = self._captioner(BlockRef(int(row["number"]), int(row["offset"])))
        return {"block": report.block, "photos": report.photos, "errors": report.errors}


def _start(ray: Any) -> None:
    """Join the cluster, or start one here.

    Raises:
        ConfigError: If that does not work, for example since the machine is too busy for Ray's patience of 30 seconds.
    """
    try:
        ray.init(include_dashboard=False, logging_level=logging.WARNING)
    except Exception as error:  # noqa: BLE001 - Ray itself raises no narrower one
        where = os.environ.get("RAY_ADDRESS")
        raise ConfigError(f"Ray {f'at {where} is not there' if where else 'did not start'}: {error}") from None


def _quieten(ray: Any) -> None:
    """Leave the progress to whoever runs the job."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)


def _places(ray: Any, device: str, workers: int | None) -> tuple[bool, int]:
    """Return whether actors take GPUs, and how many actors there are.

    Raises:
        OptionError: If GPUs are asked for and the cluster has none.
    """
    there = ray.cluster_resources()
    gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 1))
    if device == "cuda" and not gpus:
        raise OptionError(f"device is cuda, which is not there; the Ray cluster has {cpus} CPUs and no GPU")
    gpu = device != "cpu" and gpus > 0
    return gpu, workers or (gpus if gpu else cpus)
