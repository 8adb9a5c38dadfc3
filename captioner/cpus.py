"""How many CPUs this process may use, which in a container are fewer than the machine has."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
CGROUPS = Path("sys/fs/cgroup")


def available_cpus(root: Path = ROOT) -> int:
    """Return how many CPUs this process may keep busy: those it may run on, and no more than its groups' quotas.

    A quota, such as that of ``docker run --cpus 2`` or of a limit in Kubernetes, is told by control groups, version 2
    or 1; a part of a CPU counts as one. Whatever cannot be read limits nothing.

    Args:
        root: Where the file system begins, for tests.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas of all groups that this process is in, in CPUs."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            yield from _quotas_of_version_2(root / CGROUPS, group)
        elif "cpu" in controllers.split(","):
            for mount in (controllers, "cpu", "cpu,cpuacct"):
                yield from _quotas_of_version_1(root / CGROUPS / mount, group)


def _quotas_of_version_2(mount: Path, group: str) -> Iterator[float]:
    for folder in _folders(mount, group):
        quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
        yield from _quota(quota, period)  # "max 100000" is none


def _quotas_of_version_1(mount: Path, group: str) -> Iterator[float]:
    for folder in _folders(mount, group):
        yield from _quota(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))  # -1 is none


def _folders(mount: Path, group: str) -> Iterator[Path]:
    """Yield the folder of a group and those above it; inside a container its own may be the mount itself."""
    parts = [part for part in group.split("/") if part not in ("", "..")]
    for length in range(len(parts) + 1):
        yield mount.joinpath(*parts[:length])


def _quota(quota: str, period: str) -> Iterator[float]:
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return
    if share > 0:
        yield share


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
