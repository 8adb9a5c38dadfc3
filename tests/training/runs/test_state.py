"""What a run's state holds is all that the next step depends on."""

from pathlib import Path

import pytest
import torch
from torch import nn

from training.errors import TrainingError
from training.runs.distributed import World
from training.runs.optim import adamw
from training.runs.state import Progress, load_run_state, read_progress, save_run_state


def network(memory_format: torch.memory_format) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3)).to(memory_format=memory_format)
    optimizer = adamw([made], 0.01)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    return made, optimizer


def step(made: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    pixels = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(number))
    optimizer.zero_grad()
    made(pixels).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_next_step_is_the_same(memory_format: torch.memory_format, tmp_path: Path) -> None:
    """Moments must come back in the order in which the weights lie in memory: fused steps know no other."""
    (first, learning), (second, restored) = network(memory_format), network(memory_format)
    for number in range(3):
        step(first, learning, number)
    file, world, progress = tmp_path / "state.safetensors", World(), Progress(position=3, phase=1)
    save_run_state(file, {"network": first}, learning, progress, world)
    assert load_run_state(file, {"network": second}, restored, world) == progress == read_progress(file)
    for number in range(3, 6):
        step(first, learning, number)
        step(second, restored, number)
    ours, theirs = first.state_dict(), second.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_progress_of_what_is_no_run_state_is_refused(tmp_path: Path) -> None:
    for content in (None, b"", b"nothing"):
        if content is not None:
            (tmp_path / "state").write_bytes(content)
        with pytest.raises(TrainingError, match="cannot read this run state"):
            read_progress(tmp_path / "state")
