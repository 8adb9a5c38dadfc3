"""On which device a run computes, and with how many others."""

from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from captioner.errors import OptionError
from training.commands import fit, fit_answers, fit_concepts, fit_text
from training.errors import TrainingError
from training.runs.distributed import World, join_world, lone_world

COMMANDS = [fit, fit_answers, fit_concepts, fit_text]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A machine with GPUs, of which torchrun gives this process the fourth."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setenv("LOCAL_RANK", "3")
    return torch.device("cuda", 3)


def test_the_device_is_the_gpu_of_the_local_rank(gpu: torch.device) -> None:
    assert lone_world("fit-text").device == gpu
    with join_world() as world:
        assert world.device == gpu


def test_without_a_gpu_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert lone_world("fit-text") == World(device=torch.device("cpu"))


@pytest.mark.parametrize("source", ["recipe", "resume"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_run_computes_there(
    command: ModuleType, source: str, gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AskedError(Exception):
        pass

    def begin(*arguments: Any) -> None:
        raise AskedError(arguments[-1].device)

    monkeypatch.setattr("training.commands.runs.read_recipe", lambda *_: None)
    monkeypatch.setattr(f"training.commands.runs.{'start_or_restart' if source == 'recipe' else 'resume'}", begin)
    arguments = Namespace(recipe=None, resume=None, set=[], device="auto")
    setattr(arguments, source, Path("x"))
    with pytest.raises(AskedError, match="cuda") as asked:
        command.run(arguments)
    assert asked.value.args == (gpu,)


NAMED = [(fit_concepts, "fit-concepts"), (fit_text, "fit-text"), (fit_answers, "fit-answers")]


@pytest.mark.parametrize(("command", "name"), NAMED)
def test_what_is_of_one_process_says_so(command: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match=f"{name} is of one process, and torchrun started 2"):
        command.run(Namespace(recipe=Path("x"), resume=None, set=[], device="auto"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_is_not_there_ends_the_command(command: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="device is cuda:2, which is not there; this machine has cpu"):
        command.run(Namespace(recipe=Path("x"), resume=None, set=[], device="cuda:2"))


def test_one_device_is_not_for_several_processes(gpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="device is cuda:1, one device, and torchrun started 2 processes"):
        fit.run(Namespace(recipe=Path("x"), resume=None, set=[], device="cuda:1"))


def test_a_device_that_is_chosen_is_the_one(gpu: torch.device) -> None:
    assert lone_world("fit-text", "cuda:1").device == torch.device("cuda", 1)
    assert lone_world("fit-text", "cpu").device == torch.device("cpu")
