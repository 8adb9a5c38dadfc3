"""The checkpoint file: whole, strict, never half-written."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from captioner.calibration import Calibration
from captioner.cells import CELLS
from captioner.checkpoint import (
    Checkpoint,
    copy_with_calibration,
    load_checkpoint,
    load_with_sha256,
    read_header,
    save_checkpoint,
)
from captioner.config import DecoderConfig, EncoderConfig, ImageConfig, ModelConfig
from captioner.decoders import DECODERS
from captioner.errors import CheckpointError, ConfigError
from captioner.header import BLOCK, LARGEST, SCALE
from captioner.model import CaptionModel
from captioner.quantization import restore_matrices, round_matrices
from captioner.tokenizers import CharacterTokenizer, Tokenizer, WordTokenizer


def rewrite(source: Path, target: Path, **changes: object) -> Path:
    """Copy a checkpoint with other header values; ``None`` drops a key."""
    with safe_open(source, framework="pt") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for key, value in changes.items():
        metadata.pop(key, None)
        if value is not None:
            metadata[key] = json.dumps(value)
    save_file(tensors, target, metadata)
    return target


def test_round_trip(small_checkpoint: Checkpoint, small_checkpoint_file: Path) -> None:
    loaded = load_checkpoint(small_checkpoint_file)
    assert loaded.model.config == small_checkpoint.model.config
    assert loaded.tokenizer.to_dict() == small_checkpoint.tokenizer.to_dict()
    assert loaded.provenance == {"name": "small", "version": "7"}
    assert not loaded.model.training
    for name, value in small_checkpoint.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name


def test_a_calibration_is_kept_and_one_is_not_needed(
    small_checkpoint: Checkpoint, small_checkpoint_file: Path, calibration: Calibration, tmp_path: Path
) -> None:
    assert load_checkpoint(small_checkpoint_file).calibration is None
    assert "calibration" not in read_header(small_checkpoint_file)
    path = tmp_path / "sure.safetensors"
    save_checkpoint(replace(small_checkpoint, calibration=calibration), path)
    assert load_checkpoint(path).calibration == calibration
    assert read_header(path)["calibration"]["caption"]["review_below"] == calibration.caption.review_below


def test_a_calibration_is_added_without_touching_the_weights(
    small_checkpoint: Checkpoint, calibration: Calibration, tmp_path: Path
) -> None:
    source, target = tmp_path / "half.safetensors", tmp_path / "sure.safetensors"
    save_checkpoint(small_checkpoint, source, torch.float16)
    for _ in range(2):  # the second time it replaces the first one's
        copy_with_calibration(source, target, calibration)
        with safe_open(source, framework="pt") as old, safe_open(target, framework="pt") as new:
            assert list(old.keys()) == list(new.keys())
            for name in old.keys():  # noqa: SIM118
                assert new.get_tensor(name).dtype == old.get_tensor(name).dtype
                assert torch.equal(new.get_tensor(name), old.get_tensor(name)), name
            assert new.metadata().items() >= old.metadata().items()
        assert load_checkpoint(target).calibration == calibration
        source = target


def test_a_calibration_goes_to_the_weights_that_it_was_fitted_to(
    small_checkpoint: Checkpoint, calibration: Calibration, tmp_path: Path
) -> None:
    source, target = tmp_path / "model.safetensors", tmp_path / "sure.safetensors"
    save_checkpoint(small_checkpoint, source)
    fitted_to = load_with_sha256(source)[1]
    save_checkpoint(replace(small_checkpoint, provenance={"name": "trained again"}), source)
    with pytest.raises(CheckpointError, match="was replaced since it was loaded; calibrate the new file"):
        copy_with_calibration(source, target, calibration, fitted_to)
    assert not target.exists()
    copy_with_calibration(source, target, calibration, load_with_sha256(source)[1])
    assert load_checkpoint(target).calibration == calibration


def test_half_precision_halves_the_file_and_loads_as_float32(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_checkpoint(small_checkpoint, whole)
    save_checkpoint(small_checkpoint, half, torch.float16)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    for name, value in load_checkpoint(half).model.state_dict().items():
        original = small_checkpoint.model.state_dict()[name]
        assert value.dtype == original.dtype
        torch.testing.assert_close(value, original, rtol=1e-3, atol=1e-5)


def test_eight_bits_quarter_the_matrices(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    whole, rounded = tmp_path / "whole.safetensors", tmp_path / "rounded.safetensors"
    save_checkpoint(small_checkpoint, whole)
    save_checkpoint(small_checkpoint, rounded, torch.int8)
    loaded = load_checkpoint(rounded).model.state_dict()
    for name, value in small_checkpoint.model.state_dict().items():
        assert loaded[name].dtype == value.dtype
        if value.ndim == 2:
            half_a_step = value.abs().amax(dim=1, keepdim=True) / 127 / 2
            assert bool(((loaded[name] - value).abs() <= 1.001 * half_a_step).all()), name
        else:
            torch.testing.assert_close(loaded[name], value, rtol=1e-3, atol=1e-5)
    save_checkpoint(load_checkpoint(rounded), tmp_path / "again.safetensors", torch.int8)
    again = load_checkpoint(tmp_path / "again.safetensors").model.state_dict()
    for name, value in loaded.items():  # what is rounded stays as it is
        torch.testing.assert_close(again[name], value, rtol=1e-6, atol=0)
    with safe_open(rounded, framework="pt") as file:
        assert not [name for name in file.keys() if name.endswith(LARGEST)]  # noqa: SIM118
        matrices = [name for name, value in small_checkpoint.model.state_dict().items() if value.ndim == 2]
        assert {file.get_tensor(name).dtype for name in matrices} == {torch.int8}


def test_rows_of_zeros_stay_zero() -> None:
    matrix = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    restored = restore_matrices(round_matrices({"m": matrix, "count": torch.tensor(3)}))
    torch.testing.assert_close(restored["m"], torch.tensor([[0.0, 0.0], [64 / 127 * 2, -2.0]]))
    assert int(restored["count"]) == 3


@pytest.mark.parametrize("columns", [BLOCK, 2 * BLOCK + 3, 5])
def test_blocks_of_a_row_have_steps_of_their_own(columns: int) -> None:
    matrix = torch.randn(6, columns, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 1, columns)
    matrix[2] = 0
    stored = round_matrices({"m": matrix, "n": matrix}, in_blocks=["m"])
    assert sorted(stored) == ["m", "m" + LARGEST, "n", "n" + SCALE]
    assert stored["m" + LARGEST].shape == (6, -(-columns // BLOCK))
    restored = restore_matrices(stored)
    for first in range(0, columns, BLOCK):
        block = matrix[:, first : first + BLOCK].half().float()
        half_a_step = block.abs().amax(dim=1, keepdim=True) / 127 / 2
        error = (restored["m"][:, first : first + BLOCK] - block).abs()
        assert bool((error <= 1.001 * half_a_step).all())
    errors = [float((restored[name] - matrix).norm()) for name in "mn"]
    assert errors[0] < errors[1] or columns <= BLOCK
    again = round_matrices(restored, in_blocks=["m"])
    assert all(torch.equal(again[name], stored[name]) for name in ("m", "m" + LARGEST))


def test_version_3_still_loads(small_checkpoint: Checkpoint, small_checkpoint_file: Path, tmp_path: Path) -> None:
    old = rewrite(small_checkpoint_file, tmp_path / "old.safetensors", format_version=3)
    loaded = load_checkpoint(old).model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in small_checkpoint.model.state_dict().items())


def version_1(path: Path, target: Path) -> Path:
    """Write a top_down checkpoint as version 1 did: the language LSTM's matrix whole, the recurrent ones joined."""
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata()) | {"format_version": "1"}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    decoder = {name: tensors.pop(name) for name in list(tensors) if name.startswith("decoder.")}
    looking, language = (f"decoder.{stack}.cells.0." for stack in ("looking", "language"))
    past = decoder.pop("decoder.feedback.weight"), decoder.pop(looking + "recurrent.weight")
    told = decoder.pop(language + "input.weight"), decoder.pop(language + "recurrent.weight")
    names = {
        looking + "input.weight": "decoder.attention_word.weight",
        looking + "input.bias": "decoder.attention_word.bias",
        looking + "image.weight": "decoder.attention_image.weight",
        language + "input.bias": "decoder.language.bias",
    }
    tensors |= {names.get(name, name): value for name, value in decoder.items()}
    tensors["decoder.attention_recurrent.weight"] = torch.cat(past, dim=1)
    tensors["decoder.language.weight"] = torch.cat(told, dim=1)
    config = json.loads(metadata["config"])
    for field in ("cell", "condition", "layers", "residual"):
        del config["decoder"][field]
    save_file(tensors, target, metadata | {"config": json.dumps(config)})
    return target


def test_version_1_still_loads(small_checkpoint: Checkpoint, small_checkpoint_file: Path, tmp_path: Path) -> None:
    old = version_1(small_checkpoint_file, tmp_path / "old.safetensors")
    loaded = load_checkpoint(old).model.state_dict()
    for name, value in small_checkpoint.model.state_dict().items():
        assert torch.equal(loaded[name], value), name
    damaged = rewrite(small_checkpoint_file, tmp_path / "new.safetensors", format_version=1)
    with pytest.raises(CheckpointError, match="weights do not fit"):
        load_checkpoint(damaged)


@pytest.mark.parametrize("decoder", list(DECODERS))
@pytest.mark.parametrize("cell", list(CELLS))
@pytest.mark.parametrize(
    "tokenizer", [WordTokenizer(["a", "dog"]), CharacterTokenizer(["a", "b"])], ids=lambda t: t.name
)
def test_the_whole_family_round_trips(decoder: str, cell: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    sizes = DecoderConfig(decoder, cell, "initial_state", 4, 6, 5, layers=2, residual=True)
    config = ModelConfig(ImageConfig(64), EncoderConfig("tiny"), sizes)
    written = Checkpoint(CaptionModel(config, len(tokenizer)).eval(), tokenizer)
    save_checkpoint(written, tmp_path / "one.safetensors")
    loaded = load_checkpoint(tmp_path / "one.safetensors")
    assert loaded.model.config == config
    assert loaded.tokenizer.to_dict() == tokenizer.to_dict()
    for name, value in written.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name


def test_the_header_reads_without_weights(small_checkpoint_file: Path) -> None:
    header = read_header(small_checkpoint_file)
    assert header["format_version"] == 4
    assert header["config"]["encoder"]["name"] == "mobilenet_v2"
    assert header["tokenizer"]["vocabulary"][:2] == ["a", "dog"]


def test_an_interrupted_write_leaves_the_old_file(
    small_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"the old one")

    def fail(source: object, target: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("captioner.files.os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(small_checkpoint, path)
    assert path.read_bytes() == b"the old one"


def test_what_cannot_be_used_is_refused(small_checkpoint_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "changed.safetensors"
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        load_checkpoint(tmp_path / "nowhere.safetensors")
    target.write_bytes(b"not safetensors")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(target)
    target.write_bytes(small_checkpoint_file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(target)
    with pytest.raises(CheckpointError, match="its header lacks tokenizer"):
        load_checkpoint(rewrite(small_checkpoint_file, target, tokenizer=None))
    with pytest.raises(CheckpointError, match="format version 99; this version of Captioner reads 1 to 4"):
        load_checkpoint(rewrite(small_checkpoint_file, target, format_version=99))
    with pytest.raises(CheckpointError, match="weights do not fit"):
        load_checkpoint(rewrite(small_checkpoint_file, target, config={"decoder": {"hidden_size": 13}}))
    with pytest.raises(ConfigError, match="unknown decoder 'oracle'"):
        load_checkpoint(rewrite(small_checkpoint_file, target, config={"decoder": {"name": "oracle"}}))
    with pytest.raises(ConfigError, match="calibration: word: Field required"):
        load_checkpoint(rewrite(small_checkpoint_file, target, calibration={"caption": None}))
    with pytest.raises(ConfigError, match=r"image\.sise"):
        load_checkpoint(rewrite(small_checkpoint_file, target, config={"image": {"sise": 64}}))
