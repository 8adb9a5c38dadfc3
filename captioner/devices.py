"""Where a network computes: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``, and what of that there is.

torch is imported inside the functions that ask it, so that whoever only reads an option need not load it.
"""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from captioner.errors import OptionError

if TYPE_CHECKING:
    import torch

AUTO = "auto"
FORM = "auto, cpu, cuda, cuda:N or mps"
HELP = f"where the network computes: {FORM}; auto is the first CUDA GPU, or the CPU if there is none; default: auto"
_SPELLED = re.compile(r"auto|cpu|cuda|cuda:(?P<index>0|[1-9]\d{0,3})|mps")


def check_device(text: str) -> str:
    """Return the name of a device as it is, whether or not this machine has it.

    Raises:
        OptionError: If it is no such name.
    """
    if _SPELLED.fullmatch(text) is None:
        raise OptionError(f"device is {text!r}; it must be {FORM}, N being a number from 0")
    return text


def find_device(text: str = AUTO, index: int = 0) -> "torch.device":
    """Return a device of this machine.

    Apple's GPUs are taken only if they are asked for: no one has run this project's networks on them yet.

    Args:
        text: Its name: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        index: Which of the GPUs ``auto`` and ``cuda`` stand for; that of the process among those on a machine.

    Raises:
        OptionError: If it is no such name, or if this machine has no such device.
    """
    import torch  # noqa: PLC0415 - see above

    found = _SPELLED.fullmatch(check_device(text))
    cuda = torch.cuda.is_available()
    if text == "cpu" or (text == AUTO and not cuda):
        return torch.device("cpu")
    if text == "mps":
        if not torch.backends.mps.is_available():
            raise _missing(text)
        return torch.device("mps")
    number = index if found is None or found["index"] is None else int(found["index"])
    if not cuda or number >= torch.cuda.device_count():
        raise _missing(text if text == f"cuda:{number}" else f"{text} (cuda:{number})")
    return torch.device("cuda", number)


def available_devices() -> list[str]:
    """Return the names of this machine's devices."""
    import torch  # noqa: PLC0415 - see above

    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def share_devices(text: str, workers: int | None, cpus: int) -> Sequence[str]:
    """Return the device of each of several workers on this machine.

    Args:
        text: As :func:`find_device` takes it; ``auto`` and ``cuda`` are all the GPUs there are, in turn.
        workers: How many; ``None`` is one per GPU, or one per CPU.
        cpus: How many CPUs there are.

    Raises:
        OptionError: As :func:`find_device`.
    """
    without_torch = text in (AUTO, "cpu") and find_spec("torch") is None  # ONNX Runtime computes on the CPU then
    if without_torch or (first := find_device(text)).type == "cpu":
        return ["cpu"] * (workers or cpus)
    gpus = [name for name in available_devices() if name.startswith("cuda")]
    names = gpus if text in (AUTO, "cuda") else [str(first)]
    return [names[number % len(names)] for number in range(workers or len(names))]


def describe_device(device: "torch.device") -> str:
    """Say for people what a device is: ``cuda:0 (NVIDIA H100)``, ``cpu (2 threads)``."""
    import torch  # noqa: PLC0415 - see above

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type != "cpu":
        return str(device)
    return f"{device} ({describe_threads(torch.get_num_threads())})"


def describe_threads(count: int) -> str:
    """Say for people how many threads compute."""
    return f"{count} {'thread' if count == 1 else 'threads'}"


def _missing(text: str) -> OptionError:
    return OptionError(f"device is {text}, which is not there; this machine has {', '.join(available_devices())}")
