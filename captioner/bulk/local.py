"""The engine of one machine: a process per CPU, or per GPU."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.synchronize import Event
from typing import Any

from captioner.bulk.folder import BlockRef, BlockReport
from captioner.bulk.job import BulkTask, Engine
from captioner.bulk.worker import BlockCaptioner
from captioner.errors import CaptionerError

BLOCKS_PER_WORKER = 2  # one in work and one that waits, so that nobody waits for the next one to be asked for


class WorkerError(CaptionerError):
    """A worker that ended in the middle of its work."""


def local_engine(devices: Sequence[str], cpus: int) -> Engine:
    """Return an engine of as many processes as there are names of devices.

    Args:
        devices: Of each process; see :func:`captioner.devices.share_devices`.
        cpus: How many CPUs they share to read photos.
    """
    readers = max(1, cpus // len(devices))

    def run(task: BulkTask, blocks: Iterable[BlockRef]) -> Iterator[BlockReport]:
        context = multiprocessing.get_context("spawn")  # torch does not outlive a fork
        names, stop = context.SimpleQueue(), context.Event()
        for name in devices:
            names.put(name)
        arguments = (task, names, readers, stop)
        with ProcessPoolExecutor(len(devices), context, initializer=_begin, initargs=arguments) as pool:
            try:
                yield from _reports(pool, blocks, BLOCKS_PER_WORKER * len(devices))
            except BrokenProcessPool:
                raise WorkerError(
                    "a worker ended in the middle of its work, as one does that the system kills for want of memory; "
                    "the same command goes on where it stopped, and --workers asks for fewer"
                ) from None
            finally:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)

    return run


def _reports(pool: ProcessPoolExecutor, blocks: Iterable[BlockRef], most: int) -> Iterator[BlockReport]:
    """Yield reports as they come, with no more than so many blocks on their way."""
    waiting: set[Future[BlockReport]] = set()
    for block in blocks:
        waiting.add(pool.submit(_caption, block))
        while len(waiting) >= most:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in done)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from (one.result() for one in done)


class _Worker:
    """What a worker's process keeps from block to block."""

    arguments: tuple[Any, ...] = ()
    captioner: BlockCaptioner | None = None


def _begin(task: BulkTask, names: Any, readers: int, stop: Event) -> None:
    """Begin a worker's process: it leaves Ctrl-C to its parent, and dies with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _Worker.arguments = (task, names.get(), readers, stop.is_set)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)


def _caption(block: BlockRef) -> BlockReport:
    if _Worker.captioner is None:  # not in _begin(), whose errors nobody is told
        _Worker.captioner = BlockCaptioner(*_Worker.arguments)
    return _Worker.captioner(block)
