"""Where networks compute: which names are taken, what they stand for, and what is said where it is not there."""

import sys
from pathlib import Path

import pytest
import torch

from captioner.devices import available_devices, check_device, describe_device, find_device, share_devices
from captioner.errors import OptionError
from captioner.predictor import CaptionPredictor
from captioner.runtimes.torch import TorchRuntime
from tests.support.pictures import noise_image


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two CUDA GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps"])
def test_names(name: str) -> None:
    assert check_device(name) == name


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:01", "cuda:1 ", "mps:0", "cpu:0", "meta"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"device is {name!r}; it must be auto, cpu, cuda, cuda:N or mps"):
        check_device(name)


@pytest.mark.parametrize(
    ("name", "index", "expected"),
    [
        ("auto", 0, "cuda:0"),
        ("auto", 1, "cuda:1"),
        ("cuda", 1, "cuda:1"),
        ("cuda:1", 0, "cuda:1"),
        ("cuda:0", 1, "cuda:0"),
        ("cpu", 1, "cpu"),
    ],
)
def test_with_gpus(gpus: None, name: str, index: int, expected: str) -> None:
    assert str(find_device(name, index)) == expected


@pytest.mark.parametrize(
    ("name", "index", "said"),
    [("cuda:2", 0, "cuda:2"), ("cuda", 2, r"cuda \(cuda:2\)"), ("auto", 5, r"auto \(cuda:5\)")],
)
def test_a_gpu_too_many_is_an_error_that_lists_those_there_are(gpus: None, name: str, index: int, said: str) -> None:
    with pytest.raises(
        OptionError, match=f"device is {said}, which is not there; this machine has cpu, cuda:0, cuda:1"
    ):
        find_device(name, index)


@pytest.mark.parametrize("name", ["cuda:0", "mps"])
def test_without_a_gpu(no_gpu: None, name: str) -> None:
    assert find_device("auto") == find_device("cpu") == torch.device("cpu")
    assert available_devices() == ["cpu"]
    with pytest.raises(OptionError, match=f"device is {name}, which is not there; this machine has cpu$"):
        find_device(name)


def test_apple_s_gpu_is_taken_if_asked_for_and_only_then(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert find_device("mps") == torch.device("mps")
    assert find_device("auto") == torch.device("cpu")
    assert available_devices() == ["cpu", "mps"]


@pytest.mark.parametrize(
    ("name", "workers", "expected"),
    [
        ("auto", None, ["cuda:0", "cuda:1"]),
        ("cuda", 3, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda:1", 2, ["cuda:1", "cuda:1"]),
        ("cuda:1", None, ["cuda:1"]),
        ("cpu", None, ["cpu"] * 4),
        ("cpu", 2, ["cpu"] * 2),
    ],
)
def test_workers_share_the_devices(gpus: None, name: str, workers: int | None, expected: list[str]) -> None:
    assert list(share_devices(name, workers, cpus=4)) == expected


def test_workers_share_the_cpus_where_there_is_no_gpu(no_gpu: None) -> None:
    assert list(share_devices("auto", None, cpus=3)) == ["cpu"] * 3


def test_without_torch_workers_share_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("captioner.devices.find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert list(share_devices("auto", None, cpus=3)) == list(share_devices("cpu", 3, cpus=1)) == ["cpu"] * 3


def test_a_device_is_described(gpus: None) -> None:
    assert describe_device(torch.device("cuda", 1)) == "cuda:1 (GPU 1)"
    assert describe_device(torch.device("mps")) == "mps"
    assert describe_device(torch.device("cpu")) == f"cpu ({torch.get_num_threads()} thread)".replace(
        "thread)", "thread)" if torch.get_num_threads() == 1 else "threads)"
    )


def test_a_model_is_put_on_its_device_and_is_shown_photos_there(
    small_checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On "meta", which every machine has: tensors without values, that cannot meet those of another device."""
    asked = []

    def find(name: str) -> torch.device:
        asked.append(name)
        return torch.device("meta")

    monkeypatch.setattr("captioner.loading.find_device", find)
    predictor = CaptionPredictor.from_checkpoint(small_checkpoint_file, device="cuda:3")
    assert asked == ["cuda:3"]
    assert isinstance(predictor.runtime, TorchRuntime)
    assert predictor.runtime.place == "meta"
    model = predictor.runtime.model
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"meta"}
    features = predictor.encode([noise_image(0)])
    assert features.vector.device.type == "meta"
