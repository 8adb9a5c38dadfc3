"""A program and all processes that it began: their memory, and how to end one. Linux alone tells that."""

import os
import signal
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def family(pid: int) -> set[int]:
    """Return a process and those that it began, directly or not."""
    parents = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    ours = {pid}
    while further := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= further
    return ours


def memory(pid: int) -> int:
    """Return the proportional set size of a process and those that it began, in bytes: each page counts once."""
    return sum(map(_own_memory, family(pid)))


def _own_memory(pid: int) -> int:
    with suppress(OSError, StopIteration):
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return 0


def workers(pid: int) -> list[int]:
    """Return the processes of a bulk job that caption: those of the local engine, or Ray's actors."""
    found = []
    for other in sorted(family(pid) - {pid}):
        with suppress(OSError):
            command = (PROC / str(other) / "cmdline").read_bytes()
            if b"spawn_main" in command or b"ray::MapWorker" in command:
                found.append(other)
    return found


def kill(pid: int) -> None:
    """End a process as ``kill -9`` does, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
