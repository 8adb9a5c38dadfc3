"""A language model, and its file: one safetensors file that explains itself.

The file's header carries, as JSON texts, ``kind`` ("language_model"), ``format_version``, ``decoder`` (a
``DecoderConfig``), ``tokenizer`` and ``provenance``; its tensors are the decoder's weights under their module names.
Nothing in it is ever unpickled.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from captioner.checkpoint import read_safetensors, unreadable, write_safetensors
from captioner.config import DecoderConfig, from_dict, to_dict
from captioner.decoders import ConditionedDecoder
from captioner.devices import find_device
from captioner.errors import CheckpointError
from captioner.stack import CellStack
from captioner.tokenizers import Tokenizer, tokenizer_from_dict

KIND = "language_model"
FORMAT_VERSION = 1
HEADER_KEYS = ("kind", "format_version", "decoder", "tokenizer", "provenance")


class LanguageDecoder(ConditionedDecoder):
    """A conditioned decoder without the parts that take in an image; only :meth:`prepare_nothing` prepares it.

    Args:
        config: Its sizes.
        vocabulary_size: V.
    """

    def __init__(self, config: DecoderConfig, vocabulary_size: int) -> None:
        super().__init__(config, vector_size=1, grid_size=0, vocabulary_size=vocabulary_size)
        del self.project_vector
        self.language = CellStack(config, config.embedding_size)


@dataclass(frozen=True)
class LanguageModel:
    """What a language model's file holds.

    Attributes:
        decoder: The network, in evaluation mode.
        tokenizer: From text to token ids and back.
        provenance: Where it comes from: name, version, recipe, data, commit, scores.
        sha256: Of the file's bytes that it was made of, in hex; empty for a model that was not read from a file.
    """

    decoder: LanguageDecoder
    tokenizer: Tokenizer
    provenance: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""


def save_language_model(model: LanguageModel, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a language model; an interrupted write leaves the old file as it was.

    Args:
        model: What to write.
        path: Where to.
        dtype: How weights are stored; ``torch.float16`` halves the file.
    """
    header = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "decoder": to_dict(model.decoder.config),
        "tokenizer": model.tokenizer.to_dict(),
        "provenance": dict(model.provenance),
    }
    tensors = {name: value.detach().cpu().to(dtype).contiguous() for name, value in model.decoder.state_dict().items()}
    write_safetensors(path, tensors, {key: json.dumps(value) for key, value in header.items()})


def load_language_model(path: Path, device: str = "cpu") -> LanguageModel:
    """Build the decoder that a file describes and load its weights, as float32.

    Args:
        path: The file.
        device: Where it computes; see :mod:`captioner.devices`.

    Raises:
        CheckpointError: If the file is missing, is no language model, has another format version, or its weights do not
            fit its description.
        OptionError: If this machine has no such device.
        ConfigError: If its description names something that this version does not know.
    """
    place, content = find_device(device), _read(path)
    try:
        metadata, tensors = read_safetensors(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {unreadable(path, error)}") from None
    header = _parse_header(metadata, path)
    tokenizer = tokenizer_from_dict(header["tokenizer"])
    decoder = LanguageDecoder(from_dict(DecoderConfig, header["decoder"], f"{path}: decoder"), len(tokenizer))
    try:
        decoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its weights do not fit its description: {error}") from None
    return LanguageModel(decoder.eval().to(place), tokenizer, header["provenance"], hashlib.sha256(content).hexdigest())


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file of a language model")
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: not a readable file: {error}") from None


def _parse_header(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    missing = [key for key in HEADER_KEYS if key not in metadata]
    if missing:
        what = "it is a captioning model" if "config" in metadata else f"its header lacks {', '.join(missing)}"
        raise CheckpointError(f"{path}: not a language model; {what}")
    try:
        header = {key: json.loads(metadata[key]) for key in HEADER_KEYS}
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: its header is damaged: {error}") from None
    if header["kind"] != KIND:
        raise CheckpointError(f"{path}: not a language model; its kind is {header['kind']!r}")
    if header["format_version"] != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {header['format_version']}; this version of Captioner reads {FORMAT_VERSION}"
        )
    return header
