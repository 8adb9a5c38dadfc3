"""Programs of a checkout as processes of their own, for benchmarks."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from captioner.errors import OptionError
from service.settings import Settings

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 60
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        netloc: Where it listens: host and port.
        pid: The number of its process.
        seconds: From the start of its process until it was ready.
    """

    netloc: str
    pid: int
    seconds: float

    def resident_mebibytes(self) -> float:
        """Return how much memory the process holds."""
        return resident_mebibytes(self.pid)


def resident_mebibytes(pid: int) -> float:
    """Return how much memory a process holds, as Linux counts it.

    Raises:
        OptionError: If the system has no ``/proc``.
    """
    file = Path(f"/proc/{pid}/statm")
    if not file.exists():
        raise OptionError("memory is read from /proc, which this system does not have")
    pages = int(file.read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


def environment(root: Path) -> dict[str, str]:
    """Return the environment in which Python takes a checkout's packages, whatever is installed."""
    return {**os.environ, "PYTHONPATH": str(root)}


def model_flags(checkpoint: Path | None, runtime: str, threads: int | None) -> list[str]:
    """Return the flags by which the service takes a model.

    Raises:
        OptionError: If a runtime is asked for, and the service leaves no choice.
    """
    named: dict[str, object] = {"--checkpoint": checkpoint and checkpoint.resolve(), "--inference-threads": threads}
    if "runtime" in {field.name for field in fields(Settings)}:
        named["--runtime"] = runtime
    elif runtime != "auto":
        raise OptionError(f"runtime is {runtime!r}; the service leaves no choice, and takes 'auto'")
    return [word for flag, value in named.items() if value is not None for word in (flag, str(value))]


@contextmanager
def serving(flags: Sequence[str], root: Path = ROOT) -> Iterator[Server]:
    """Run ``python -m service`` of a checkout on a free port of this machine until the block ends.

    Raises:
        OptionError: If it does not start.
    """
    command = [sys.executable, "-m", "service", "--port", "0", *flags]
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=root, env=environment(root), stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            seconds = time.perf_counter() - start
            if not line:
                raise OptionError("the server did not start; what it said stands above")
            yield Server(urlsplit(line.split()[-1]).netloc, process.pid, seconds)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)
