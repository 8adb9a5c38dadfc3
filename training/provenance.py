"""Where a model comes from: what identifies data, code and weights."""

import hashlib
import subprocess
from pathlib import Path


def sha256(path: Path) -> str:
    """Return the hash of a file's contents."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def commit() -> str:
    """Return the commit of the code that is running, or "unknown" outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
