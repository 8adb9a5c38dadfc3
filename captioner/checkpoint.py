"""A model as one safetensors file that explains itself.

The file's header carries, as JSON texts, ``format_version``, ``config`` (a ``ModelConfig``), ``tokenizer`` and
``provenance`` (recipe, data, commit, scores), and ``calibration`` if the model has one; its tensors are the model's
weights under their module names. Nothing in it is ever unpickled. docs/checkpoint-format.md describes it for other
programs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from captioner.calibration import Calibration
from captioner.config import ModelConfig, from_dict, to_dict
from captioner.errors import CheckpointError
from captioner.files import write_whole
from captioner.model import CaptionModel
from captioner.quantization import restore_matrices, round_matrices
from captioner.tokenizers import Tokenizer, tokenizer_from_dict

FORMAT_VERSION = 3
READABLE_VERSIONS = (1, 2, 3)
HEADER_KEYS = ("format_version", "config", "tokenizer", "provenance")
OPTIONAL_KEYS = ("calibration",)
OTHER_KINDS = {  # what this project writes besides, as the header tells it
    '"language_model"': "it is a language model, which sees no photos; training's command sample lets it write",
    '"concepts"': "it is an encoder that learnt concepts; a recipe's encoder_weights may name it",
}
SHIPPED = Path(__file__).parent / "flickr8k.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        model: The network, in evaluation mode.
        tokenizer: From text to token ids and back.
        provenance: Where it comes from: name, version, recipe, data, commit, scores.
        calibration: How far its captions can be trusted, if that was measured.
    """

    model: CaptionModel
    tokenizer: Tokenizer
    provenance: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None


def save_checkpoint(checkpoint: Checkpoint, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a checkpoint; an interrupted write leaves the old file as it was.

    Args:
        checkpoint: What to write.
        path: Where to.
        dtype: How floating-point weights are stored: ``torch.float16`` halves the file; ``torch.int8`` rounds matrices
            to 8 bits and the rest to float16 (:mod:`captioner.quantization`), which halves it again.
    """
    header = {
        "format_version": FORMAT_VERSION,
        "config": to_dict(checkpoint.model.config),
        "tokenizer": checkpoint.tokenizer.to_dict(),
        "provenance": dict(checkpoint.provenance),
    }
    if checkpoint.calibration is not None:
        header["calibration"] = to_dict(checkpoint.calibration)
    weights = {name: value.detach().cpu().contiguous() for name, value in checkpoint.model.state_dict().items()}
    metadata = {key: json.dumps(value) for key, value in header.items()}
    write_safetensors(path, _stored(weights, dtype), metadata)


def _stored(weights: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    if dtype == torch.int8:
        return round_matrices(weights)
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in weights.items()}


def copy_with_calibration(
    source: Path | str | None, target: Path, calibration: Calibration, sha256: str | None = None
) -> None:
    """Write a checkpoint file anew with a calibration, its weights as they are.

    Args:
        source: The checkpoint; ``None`` is the shipped one.
        target: Where to; it may be the same file.
        calibration: How far its captions can be trusted.
        sha256: Of the file that the calibration was fitted to; ``None`` takes the source as it is.

    Raises:
        CheckpointError: If the source cannot be used, or is not the file that the calibration was fitted to.
    """
    metadata, tensors, found = _read(Path(source or SHIPPED))
    _parse_header(metadata, source or SHIPPED)
    if sha256 not in (None, found):
        raise CheckpointError(f"{source or SHIPPED}: was replaced since it was loaded; calibrate the new file")
    write_safetensors(target, tensors, metadata | {"calibration": json.dumps(to_dict(calibration))})


def write_safetensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file that is never seen half-written, and outlives a power cut."""
    write_whole(path, save(tensors, metadata))  # save_file() would make it unreadable to other users


def read_header(path: Path | str | None = None) -> dict[str, Any]:
    """Read what a checkpoint says of itself, without its weights.

    Args:
        path: The file; ``None`` is the shipped one.

    Returns:
        The values of ``format_version``, ``config``, ``tokenizer``, ``provenance``, and ``calibration`` if it has one.

    Raises:
        CheckpointError: If the file is missing, is no checkpoint, or has another format version.
    """
    source = Path(path or SHIPPED)
    _require_file(source)
    try:
        with safe_open(source, framework="pt") as file:
            return _parse_header(file.metadata() or {}, source)
    except (SafetensorError, OSError) as error:
        raise _unreadable(source, error) from None


def load_checkpoint(path: Path | str | None = None) -> Checkpoint:
    """Build the model that a checkpoint describes and load its weights, as float32 on the CPU.

    Args:
        path: The file; ``None`` is the shipped one.

    Raises:
        CheckpointError: If the file is missing, is no checkpoint, has another format version, or its weights do not fit
            its configuration.
        ConfigError: If its configuration or calibration holds something that this version does not know.
    """
    return load_with_sha256(path)[0]


def load_with_sha256(path: Path | str | None = None) -> tuple[Checkpoint, str]:
    """Load a checkpoint as :func:`load_checkpoint` does; also return the SHA-256, in hex, of the bytes it was made of.

    The file is read once: hashed on its own it might by then be another, put in its place meanwhile.
    """
    source = Path(path or SHIPPED)
    metadata, tensors, sha256 = _read(source)
    header = _parse_header(metadata, source)
    tokenizer = tokenizer_from_dict(header["tokenizer"])
    model = CaptionModel(from_dict(ModelConfig, header["config"], f"{source}: config"), len(tokenizer))
    if header["format_version"] == 1:
        tensors = _from_version_1(tensors, source)
    try:
        model.load_state_dict(restore_matrices(tensors))
    except RuntimeError as error:
        raise CheckpointError(f"{source}: its weights do not fit its configuration: {error}") from None
    return Checkpoint(model.eval(), tokenizer, header["provenance"], _calibration(header, source)), sha256


def _calibration(header: Mapping[str, Any], path: Path) -> Calibration | None:
    values = header.get("calibration")
    return None if values is None else from_dict(Calibration, values, f"{path}: calibration")


def _read(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor], str]:
    """Return the metadata and tensors of a file, and the hash of what they were made of."""
    _require_file(path)
    try:
        content = path.read_bytes()
        return *read_safetensors(content), hashlib.sha256(content).hexdigest()
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from None


def read_safetensors(content: bytes) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Return the metadata and tensors of a safetensors file's content.

    Raises:
        SafetensorError: If it is no such content.
    """
    tensors = load(content)  # checks the header too
    length = int.from_bytes(content[:8], "little")
    header: dict[str, dict[str, str]] = json.loads(content[8 : 8 + length])
    return header.get("__metadata__", {}), tensors


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: {unreadable(path, error)}")


def unreadable(path: Path, error: Exception) -> str:
    """Return why a file is no safetensors file; of a pickle, which is never read, that it is one."""
    if not looks_pickled(path):
        return f"not a readable safetensors file: {error}"
    return (
        "it looks like a PyTorch pickle (.pth, .pt, .ckpt), which is never read, since a pickle may run any code. "
        "Save its tensors by safetensors.torch.save_file() in the program that made it, or train a model here"
    )


def looks_pickled(path: Path) -> bool:
    """Tell a zip file, as torch saves, or the marks of a pickle of protocol 2 or later: PROTO and its number."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError:
        return False
    return start == b"PK\x03\x04" or (len(start) > 2 and start[0] == 0x80 and 2 <= start[1] <= 5)


def _parse_header(metadata: Mapping[str, str], path: Path | str) -> dict[str, Any]:
    missing = [key for key in HEADER_KEYS if key not in metadata]
    if missing and metadata.get("kind") in OTHER_KINDS:
        raise CheckpointError(f"{path}: not a captioning model; {OTHER_KINDS[metadata['kind']]}")
    if missing:
        raise CheckpointError(f"{path}: not a Captioner checkpoint; its header lacks {', '.join(missing)}")
    try:
        header = {key: json.loads(metadata[key]) for key in (*HEADER_KEYS, *OPTIONAL_KEYS) if key in metadata}
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: its header is damaged: {error}") from None
    if header["format_version"] not in READABLE_VERSIONS:
        raise CheckpointError(
            f"{path}: format version {header['format_version']}; this version of Captioner reads "
            f"{READABLE_VERSIONS[0]} to {READABLE_VERSIONS[-1]}"
        )
    return header


def _from_version_1(tensors: Mapping[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of version 1 under their names in version 2.

    Version 1 knew only top_down decoders with LSTM cells, whose language LSTM had one matrix for all that it read.
    """
    values = dict(tensors)
    looking, language = "decoder.looking.cells.0", "decoder.language.cells.0"
    try:
        past = values.pop("decoder.attention_recurrent.weight")  # [4N, 2N]: the language LSTM's, then its own
        told = values.pop("decoder.language.weight")  # [4N, 3N]: context, attention LSTM, its own past
        units = past.shape[1] // 2
        return values | {
            "decoder.feedback.weight": past[:, :units],
            f"{looking}.recurrent.weight": past[:, units:],
            f"{looking}.input.weight": values.pop("decoder.attention_word.weight"),
            f"{looking}.input.bias": values.pop("decoder.attention_word.bias"),
            f"{looking}.image.weight": values.pop("decoder.attention_image.weight"),
            f"{language}.input.weight": told[:, : 2 * units],
            f"{language}.input.bias": values.pop("decoder.language.bias"),
            f"{language}.recurrent.weight": told[:, 2 * units :],
        }
    except KeyError as error:
        raise CheckpointError(f"{path}: its weights do not fit format version 1: {error} is missing") from None
