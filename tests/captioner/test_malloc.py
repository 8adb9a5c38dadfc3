"""Keeping freed memory: a network's forward pass no longer asks the system for the same pages again."""

import ctypes
import platform
import subprocess
import sys

import pytest

from captioner import malloc

pytestmark = pytest.mark.slow
SCRIPT = """
import resource, sys
from threading import Thread
from captioner.malloc import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "keep" else None

import torch
from torch import nn

def count():
    photos = torch.zeros(4, 3, 160, 160)
    with torch.inference_mode():
        for _ in range(10):
            network(photos)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            network(photos)
    print(kept, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 5)

torch.set_num_threads(1)
network = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()).eval()
thread = Thread(target=count)  # as the service does
thread.start()
thread.join()
"""


def faults(mode: str) -> tuple[str, float]:
    """Return what the function returned in a process of its own, and page faults per forward pass."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, timeout=300, check=True)
    kept, count = done.stdout.split()
    return kept, float(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back")
def test_a_forward_pass_takes_few_new_pages() -> None:
    _, usual = faults("usual")
    kept, fewer = faults("keep")
    assert kept == "True"
    assert usual > 200
    assert fewer < usual / 4


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", pytest.fail)
    assert not malloc.keep_freed_memory()
