"""What a checkpoint file says of itself, read without any network: docs/checkpoint-format.md describes it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open

from captioner.calibration import Calibration
from captioner.class_words import ClassVocabulary
from captioner.config import ModelConfig, from_dict, to_dict
from captioner.errors import CheckpointError
from captioner.tokenizers import Tokenizer, tokenizer_from_dict

FORMAT_VERSION = 4
READABLE_VERSIONS = (1, 2, 3, 4)
HEADER_KEYS = ("format_version", "config", "tokenizer", "provenance")
OPTIONAL_KEYS = ("calibration", "class_words", "onnx")
OTHER_KINDS = {  # what this project writes besides, as the header tells it
    '"language_model"': "it is a language model, which sees no photos; training's command sample lets it write",
    '"answers"': "it answers questions about photos, beside a captioning model; captioner ask --answers takes it",
    '"concepts"': "it is an encoder that learnt concepts; a recipe's encoder_weights may name it",
}
T = TypeVar("T")
SHIPPED = Path(__file__).parent / "flickr8k.safetensors"
SCALE = ".scale"  # what is added to the name of a matrix of 8 bits for that of its rows' steps
LARGEST = ".largest"  # or, if blocks of its rows have steps of their own, for that of the blocks' largest numbers
BLOCK = 16  # numbers of a row that have a step of their own there
GRAPHS = "onnx."  # what the names of tensors begin with that are no weights but ONNX graphs, as bytes


@dataclass(frozen=True)
class Description:
    """What a captioning model is, but for its weights.

    Attributes:
        config: What it is made of.
        tokenizer: From text to token ids and back.
        provenance: Where it comes from: name, version, recipe, data, commit, scores.
        calibration: How far its captions can be trusted, if that was measured.
        class_words: The words that a classifier finds in the image vector, if it has one.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    provenance: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    class_words: ClassVocabulary | None = None

    def metadata(self) -> dict[str, str]:
        """Return the header of its file."""
        header = {
            "format_version": FORMAT_VERSION,
            "config": to_dict(self.config),
            "tokenizer": self.tokenizer.to_dict(),
            "provenance": dict(self.provenance),
        }
        if self.calibration is not None:
            header["calibration"] = to_dict(self.calibration)
        if self.class_words is not None:
            header["class_words"] = to_dict(self.class_words)
        return {key: json.dumps(value) for key, value in header.items()}


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint as it was read, once: hashed or parsed on its own it might by then be another, put in its place.

    Attributes:
        path: Where it was.
        content: Its bytes.
        metadata: The texts of its header.
    """

    path: Path
    content: bytes
    metadata: Mapping[str, str]

    @classmethod
    def read(cls, path: Path | str | None = None) -> "CheckpointFile":
        """Read a file; ``None`` is the shipped one.

        Raises:
            CheckpointError: If the file is missing or no safetensors file.
        """
        source = Path(path or SHIPPED)
        _require_file(source)
        try:
            content = source.read_bytes()
            return cls(source, content, metadata_of(content))
        except (ValueError, OSError) as error:
            raise unreadable_file(source, error) from None

    @property
    def sha256(self) -> str:
        """The hash of its bytes, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    def header(self) -> dict[str, Any]:
        """Return the values of the header; see :func:`read_header`.

        Raises:
            CheckpointError: If it is no checkpoint, or has another format version.
        """
        return parse_header(self.metadata, self.path)

    def describe(self) -> Description:
        """Return what the model is.

        Raises:
            CheckpointError: If it is no checkpoint, or has another format version.
            ConfigError: If the header holds something that this version does not know.
        """
        header = self.header()
        return Description(
            from_dict(ModelConfig, header["config"], f"{self.path}: config"),
            tokenizer_from_dict(header["tokenizer"]),
            header["provenance"],
            _optional(Calibration, "calibration", header, self.path),
            _optional(ClassVocabulary, "class_words", header, self.path),
        )


def metadata_of(content: bytes) -> dict[str, str]:
    """Return the texts of a safetensors file's header.

    Raises:
        ValueError: If its beginning is none.
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 + length:
        raise ValueError(f"its header should have {length} bytes, and the file has {len(content)}")
    header = json.loads(content[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    metadata: dict[str, str] = header.get("__metadata__", {})
    return metadata


def read_header(path: Path | str | None = None) -> dict[str, Any]:
    """Read what a checkpoint says of itself, without its weights.

    Args:
        path: The file; ``None`` is the shipped one.

    Returns:
        The values of ``format_version``, ``config``, ``tokenizer``, ``provenance``, and ``calibration``,
        ``class_words`` and ``onnx`` if it has them.

    Raises:
        CheckpointError: If the file is missing, is no checkpoint, or has another format version.
    """
    source = Path(path or SHIPPED)
    _require_file(source)
    try:
        with safe_open(source, framework="np") as file:
            return parse_header(file.metadata() or {}, source)
    except (SafetensorError, OSError) as error:
        raise unreadable_file(source, error) from None


def _optional(kind: type[T], key: str, header: Mapping[str, Any], path: Path) -> T | None:
    values = header.get(key)
    return None if values is None else from_dict(kind, values, f"{path}: {key}")


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")


def unreadable_file(path: Path, error: Exception) -> CheckpointError:
    """Return the error that tells why a file is no safetensors file."""
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


def parse_header(metadata: Mapping[str, str], path: Path | str) -> dict[str, Any]:
    """Return the values of a header; it raises what :func:`read_header` does."""
    missing = [key for key in HEADER_KEYS if key not in metadata]
    if metadata.get("kind") in OTHER_KINDS:
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
