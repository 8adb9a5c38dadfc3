"""How many CPUs there are to use: by affinity and by the quotas of control groups, written into a folder of ours."""

import os
import threading
from pathlib import Path

import pytest

from captioner import cpus
from captioner.cpus import available_cpus


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have 64 CPUs, of which the process may run on 16."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 16),
        # version 2, as a container sees itself
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 16),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "9900000 100000\n"}, 16),
        # a group inside of others: the least counts
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "300000 100000\n"}, 3),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            },
            2,
        ),
        # the group is that of the host, of which the container sees only the mount
        ({"proc/self/cgroup": "0::/docker/f00\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        ({"proc/self/cgroup": "0::/../other\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        # version 1
        (
            {
                "proc/self/cgroup": "12:cpuset:/\n4:cpu,cpuacct:/docker/f00\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "50000\n",
            },
            5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpuacct,cpu:/a\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            16,
        ),
        # what nobody expects limits nothing
        ({"proc/self/cgroup": "strange\n\n:::\n", "sys/fs/cgroup/cpu.max": "0 0\n"}, 16),
    ],
)
def test_quotas(tmp_path: Path, files: dict[str, str], count: int) -> None:
    write(tmp_path, files)
    assert available_cpus(tmp_path) == count


def test_a_system_without_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert available_cpus(tmp_path) == 64


def test_the_service_computes_in_as_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.concurrency import ConcurrencyLimit  # noqa: PLC0415

    write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "600000 100000\n"})
    monkeypatch.setattr(cpus.available_cpus, "__defaults__", (tmp_path,))
    inside, most, lock = 0, 0, threading.Lock()
    everybody = threading.Barrier(6)

    def application(*_: object) -> list[bytes]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        everybody.wait(30)  # six come in together, and no more
        with lock:
            inside -= 1
        return []

    limit = ConcurrencyLimit(application)
    threads = [threading.Thread(target=limit, args=({}, None)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 6
