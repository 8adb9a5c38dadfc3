"""Language models in files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from captioner.checkpoint import load_checkpoint, read_header
from captioner.errors import CheckpointError
from tests.support.language_models import random_model, step_through
from training.language.model import load_language_model, save_language_model


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_file_brings_back_the_model(tmp_path: Path, cell: str) -> None:
    model, file = random_model(cell), tmp_path / "deep" / "model.safetensors"
    save_language_model(model, file)
    loaded = load_language_model(file)
    assert loaded.decoder.config == model.decoder.config
    assert loaded.tokenizer.to_dict() == model.tokenizer.to_dict()
    assert loaded.provenance == model.provenance
    assert not loaded.decoder.training
    tokens = torch.tensor(model.tokenizer.encode("row your boat"))
    with torch.no_grad():
        assert torch.equal(step_through(loaded, tokens), step_through(model, tokens))
    assert [path.name for path in file.parent.iterdir()] == ["model.safetensors"]


def test_a_file_holds_no_image_parts_and_explains_itself(tmp_path: Path) -> None:
    save_language_model(random_model(), tmp_path / "model", torch.float16)
    with safe_open(tmp_path / "model", framework="pt") as file:
        header = {key: json.loads(value) for key, value in file.metadata().items()}
        names = set(file.keys())
    assert header["kind"] == "language_model"
    assert header["decoder"]["cell"] == "lstm"
    assert not [name for name in names if "image" in name or "project" in name or "first" in name]
    assert load_language_model(tmp_path / "model").decoder.embedding.weight.dtype == torch.float32


def test_the_two_kinds_of_model_are_not_confused(tmp_path: Path, small_checkpoint_file: Path) -> None:
    with pytest.raises(CheckpointError, match="not a language model; it is a captioning model"):
        load_language_model(small_checkpoint_file)
    save_language_model(random_model(), tmp_path / "model")
    for read in (load_checkpoint, read_header):
        with pytest.raises(CheckpointError, match="not a captioning model; it is a language model"):
            read(tmp_path / "model")


def test_files_that_are_no_language_models_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "model"
    with pytest.raises(CheckpointError, match="no such file"):
        load_language_model(file)
    file.write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_language_model(file)
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match="its header lacks kind, format_version"):
        load_language_model(file)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kind", '"speech_model"', "its kind is 'speech_model'"),
        ("format_version", "2", "format version 2; this version of Captioner reads 1"),
        ("provenance", "{", "its header is damaged"),
        ("decoder", '{"name": "conditioned", "hidden_size": 11}', "its weights do not fit its description"),
    ],
)
def test_files_of_another_make_are_refused(tmp_path: Path, key: str, value: str, message: str) -> None:
    save_language_model(random_model(), tmp_path / "model")
    with safe_open(tmp_path / "model", framework="pt") as file:
        metadata = file.metadata() | {key: value}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, tmp_path / "other", metadata)
    with pytest.raises(CheckpointError, match=message):
        load_language_model(tmp_path / "other")
