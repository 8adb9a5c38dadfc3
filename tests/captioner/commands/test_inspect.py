import json
import math
from pathlib import Path

import torch

from captioner.checkpoint import write_safetensors
from tests.support.command_line import Run


def write_checkpoint(path: Path) -> None:
    header = {
        "format_version": 1,
        "config": {"image": {"size": 64}},
        "tokenizer": {"name": "word", "vocabulary": [f"word{index}" for index in range(5000)]},
        "provenance": {"name": "tiny"},
    }
    tensors = {"a": torch.zeros(3, 4), "b": torch.zeros(5), "c": torch.tensor(1.0)}
    write_safetensors(path, tensors, {key: json.dumps(value) for key, value in header.items()})


def test_inspect(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_checkpoint(path)
    status, lines, _ = run("inspect", path)
    values = json.loads("\n".join(lines))
    assert status == 0
    assert values["parameters"] == math.prod((3, 4)) + 5 + 1
    assert values["file_bytes"] == path.stat().st_size
    assert values["config"] == {"image": {"size": 64}}
    assert values["tokenizer"]["vocabulary"]["size"] == 5000
    assert values["tokenizer"]["vocabulary"]["first"][:2] == ["word0", "word1"]
    assert len(lines) < 50


def test_inspect_what_is_no_checkpoint(run: Run, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"no checkpoint")
    for path in (tmp_path / "model", tmp_path / "missing"):
        status, lines, errors = run("inspect", path)
        assert (status, lines) == (1, [])
        assert str(path) in errors
