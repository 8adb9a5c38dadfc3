"""A model as one safetensors file that explains itself.

The file's header carries, as JSON texts, ``format_version``, ``config`` (a ``ModelConfig``), ``tokenizer`` and
``provenance`` (recipe, data, commit, scores), and ``calibration`` and ``class_words`` if the model has them; its
tensors are the model's weights under their module names. Nothing in it is ever unpickled. docs/checkpoint-format.md
describes it for other programs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from captioner.calibration import Calibration
from captioner.class_words import PREFIX, ClassWords
from captioner.config import to_dict
from captioner.errors import CheckpointError
from captioner.files import write_whole
from captioner.header import (
    FORMAT_VERSION,
    GRAPHS,
    SHIPPED,
    CheckpointFile,
    Description,
    looks_pickled,
    metadata_of,
    read_header,
    unreadable,
    unreadable_file,
)
from captioner.model import CaptionModel
from captioner.quantization import restore_matrices, round_matrices
from captioner.runtimes.torch import TorchRuntime
from captioner.tokenizers import Tokenizer

__all__ = [
    "FORMAT_VERSION",
    "SHIPPED",
    "Checkpoint",
    "copy_with_calibration",
    "copy_with_class_words",
    "load_checkpoint",
    "load_with_sha256",
    "looks_pickled",
    "read_header",
    "read_safetensors",
    "save_checkpoint",
    "unreadable",
    "write_safetensors",
]


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        model: The network, in evaluation mode.
        tokenizer: From text to token ids and back.
        provenance: Where it comes from: name, version, recipe, data, commit, scores.
        calibration: How far its captions can be trusted, if that was measured.
        class_words: What finds words in the image vector, if there is something.
    """

    model: CaptionModel
    tokenizer: Tokenizer
    provenance: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    class_words: ClassWords | None = None

    @property
    def description(self) -> Description:
        """What the model is, but for its weights."""
        words = None if self.class_words is None else self.class_words.vocabulary
        return Description(self.model.config, self.tokenizer, self.provenance, self.calibration, words)

    def runtime(self) -> TorchRuntime:
        """Return the model as a predictor runs it."""
        return TorchRuntime(self.model)


def save_checkpoint(checkpoint: Checkpoint, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a checkpoint; an interrupted write leaves the old file as it was.

    Args:
        checkpoint: What to write.
        path: Where to.
        dtype: How floating-point weights are stored: ``torch.float16`` halves the file; ``torch.int8`` rounds matrices
            to 8 bits and the rest to float16 (:mod:`captioner.quantization`), which halves it again.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in checkpoint.model.state_dict().items()}
    tensors = {**_stored(weights, dtype), **tensors_of(checkpoint.class_words)}
    write_safetensors(path, tensors, checkpoint.description.metadata())


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
    file = CheckpointFile.read(source)
    file.header()
    if sha256 not in (None, file.sha256):
        raise CheckpointError(f"{file.path}: was replaced since it was loaded; calibrate the new file")
    metadata = {**file.metadata, "calibration": json.dumps(to_dict(calibration))}
    write_safetensors(target, _tensors(file), metadata)


def copy_with_class_words(source: Path | str | None, target: Path, words: ClassWords) -> None:
    """Write a checkpoint file anew with class words, its weights, calibration and graphs as they are.

    Args:
        source: The checkpoint; ``None`` is the shipped one.
        target: Where to; it may be the same file.
        words: What finds words in the vector of its encoder; it replaces what the checkpoint has.

    Raises:
        CheckpointError: If the source cannot be used.
        ConfigError: If its header holds something that this version does not know.
    """
    file = CheckpointFile.read(source)
    description = replace(file.describe(), class_words=words.vocabulary)
    graphs = {name: value for name, value in _tensors(file).items() if name.startswith(GRAPHS)}
    tensors = {**stored_weights(file), **graphs, **tensors_of(words)}
    write_safetensors(target, tensors, {**file.metadata, **description.metadata()})


def write_safetensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file that is never seen half-written, and outlives a power cut."""
    write_whole(path, save(tensors, metadata))  # save_file() would make it unreadable to other users


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
    """Load a checkpoint as :func:`load_checkpoint` does; also return the SHA-256, in hex, of its file's bytes."""
    file = CheckpointFile.read(path)
    return build_checkpoint(file), file.sha256


def build_checkpoint(file: CheckpointFile) -> Checkpoint:
    """Build the model of a file that was read; it raises what :func:`load_checkpoint` does."""
    description = file.describe()
    model = CaptionModel(description.config, len(description.tokenizer))
    try:
        model.load_state_dict(restore_matrices(stored_weights(file)))
    except RuntimeError as error:
        raise CheckpointError(f"{file.path}: its weights do not fit its configuration: {error}") from None
    words = read_class_words(file, description)
    return Checkpoint(model.eval(), description.tokenizer, description.provenance, description.calibration, words)


def read_class_words(file: CheckpointFile, description: Description) -> ClassWords | None:
    """Return what finds words in the image vector, of a file that was read; ``None`` if it has nothing.

    Raises:
        CheckpointError: If the file is damaged.
        ConfigError: If its tensors do not fit its header.
    """
    if description.class_words is None:  # the whole file would be parsed once more for nothing
        return None
    tensors = {name: value.numpy() for name, value in _tensors(file).items() if name.startswith(PREFIX)}
    return ClassWords.read(description.class_words, tensors, len(description.tokenizer))


def tensors_of(words: ClassWords | None) -> dict[str, torch.Tensor]:
    """Return the tensors of class words, as a checkpoint holds them; none of none."""
    return {} if words is None else {name: torch.from_numpy(value) for name, value in words.tensors().items()}


def stored_weights(file: CheckpointFile) -> dict[str, torch.Tensor]:
    """Return the weights of a file's model as they are stored, under their names of today."""
    weights = {name: value for name, value in _tensors(file).items() if not name.startswith((GRAPHS, PREFIX))}
    return _from_version_1(weights, file.path) if file.header()["format_version"] == 1 else weights


def _tensors(file: CheckpointFile) -> dict[str, torch.Tensor]:
    try:
        return load(file.content)
    except SafetensorError as error:
        raise unreadable_file(file.path, error) from None


def read_safetensors(content: bytes) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Return the metadata and tensors of a safetensors file's content.

    Raises:
        SafetensorError: If it is no such content.
    """
    tensors = load(content)  # checks the header too
    return metadata_of(content), tensors


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
