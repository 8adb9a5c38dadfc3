"""Pretrained weights: what is read, what is refused, and when the network is used."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from captioner.errors import ConfigError
from training.initial.pretrained import pretrained_weights


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"a.weight": torch.randn(3, 2, generator=generator), "a.count": torch.tensor(7)}


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Record what would be downloaded, in place of doing it."""
    asked: list[Any] = []

    def answer(self: WeightsEnum, **options: object) -> dict[str, Tensor]:
        asked.append((self, options))
        return {"features.0.weight": torch.ones(2)}

    monkeypatch.setattr(WeightsEnum, "get_state_dict", answer)
    return asked


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_files_give_the_tensors_that_were_saved(
    suffix: str, tensors: dict[str, Tensor], tmp_path: Path, no_download: list[Any]
) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(OrderedDict(tensors), path)
    found = pretrained_weights("mobilenet_v2", str(path))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert no_download == []


def test_floats_of_any_kind_become_plain_float32(tmp_path: Path) -> None:
    path = tmp_path / "half.pth"
    torch.save({"a": torch.ones(2, dtype=torch.bfloat16), "b": nn.Parameter(torch.ones(2)), "n": torch.tensor(3)}, path)
    found = pretrained_weights("mobilenet_v2", str(path))
    assert [found[name].numpy().dtype.name for name in "abn"] == ["float32", "float32", "int64"]


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path, target = tmp_path / "bomb.pth", tmp_path / "exploded"
    torch.save({"a": torch.ones(1), "b": Bomb(target)}, path)
    with pytest.raises(ConfigError, match=r"bomb\.pth: damaged, or it holds more than weights"):
        pretrained_weights("mobilenet_v2", str(path))
    assert not target.exists()
    torch.load(path, weights_only=False)  # the bomb is a real one
    assert target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {"a": torch.ones(1)}}, "under 'state_dict' it has a value of type dict"),
        ({"a": torch.ones(1), "epoch": 3}, "under 'epoch' it has a value of type int"),
        ({1: torch.ones(1)}, "under 1 it has a value of type Tensor"),
        ([torch.ones(1)], "it holds a value of type list"),
        (torch.ones(1), "it holds a value of type Tensor"),
    ],
)
def test_anything_but_named_tensors_is_refused(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(ConfigError, match=rf"other\.pt: must hold named tensors; {message}"):
        pretrained_weights("mobilenet_v2", str(path))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "weights.pt"])
def test_missing_and_damaged_files_are_refused(name: str, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(ConfigError, match=rf"{name}: not a readable"):
        pretrained_weights("mobilenet_v2", str(path))
    torch.save(tensors, tmp_path / "whole")
    for damaged in (b"", b"no weights", (tmp_path / "whole").read_bytes()[:-200]):
        path.write_bytes(damaged)
        with pytest.raises(
            ConfigError, match=rf"{name}: (not a readable|damaged|it looks like a PyTorch pickle; name it .pth)"
        ):
            pretrained_weights("mobilenet_v2", str(path))


def test_other_names_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"weights\.h5: its name must end with \.safetensors, \.pth or \.pt"):
        pretrained_weights("mobilenet_v2", str(tmp_path / "weights.h5"))


def test_an_empty_path_downloads_torchvisions_best(no_download: list[Any]) -> None:
    found = pretrained_weights("resnet50", "")
    assert found.keys() == {"features.0.weight"}
    [(weights, options)] = no_download
    assert (str(weights), options) == ("ResNet50_Weights.IMAGENET1K_V2", {"progress": True, "check_hash": True})


def test_a_download_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", unreachable)
    with pytest.raises(ConfigError, match="weights for resnet50 cannot be downloaded: no route to host"):
        pretrained_weights("resnet50", "")


def test_what_torchvision_does_not_know_needs_a_file(no_download: list[Any]) -> None:
    with pytest.raises(ConfigError, match="torchvision has no weights for tiny; encoder_weights must name a file"):
        pretrained_weights("tiny", "")
    assert no_download == []
