"""The server as a process of its own, for benchmarks."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
STOP_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        netloc: Where it listens: host and port.
        pid: The number of its process.
    """

    netloc: str
    pid: int

    def resident_bytes(self) -> int:
        """Return how much memory the process has, as Linux counts it."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * 4096


@contextmanager
def serving(flags: Sequence[str]) -> Iterator[Server]:
    """Run ``python -m service`` on a free port of this machine until the block ends."""
    command = [sys.executable, "-m", "service", "--port", "0", *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            line = process.stdout.readline()
            if not line:
                raise SystemExit("the server did not start")
            yield Server(urlsplit(line.split()[-1]).netloc, process.pid)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)
