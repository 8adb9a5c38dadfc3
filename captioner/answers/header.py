"""What a file that answers questions says of itself, read without any network; and which captioner it goes with.

It holds no encoder: it sees by that of a captioning model, which it names by a hash of that encoder's weights.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from captioner.config import STRICT, EncoderConfig, ImageConfig, from_dict, to_dict
from captioner.errors import CheckpointError
from captioner.header import GRAPHS, SCALE, CheckpointFile, unreadable_file
from captioner.ranges import Range, check_ranges
from captioner.tokenizers import Tokenizer, tokenizer_from_dict

KIND = "answers"
FORMAT_VERSION = 1
HEADER_KEYS = ("kind", "format_version", "config", "tokenizer", "answers", "encoder", "sizes", "provenance")
SHIPPED_ANSWERS = Path(__file__).parents[1] / "flickr8k-answers.safetensors"
ENCODER = "encoder."  # what the names of its weights begin with in a captioner's file
MAX_QUESTION = 30  # words of a question


@dataclass(frozen=True)
class AnswerConfig:
    """What the network is made of.

    Attributes:
        cell: What reads the question, a name in ``captioner.cells.CELLS``.
        embedding_size: E, the length of a word vector.
        hidden_size: N, the units of the cell, and the length that the photo is projected to.
        attention_size: A, the units of each attention.
        hops: How often it looks at the photo, each time asking with what it saw before.
        dropout: Probability with which a unit is dropped in training.
        sees: Whether it sees the photo; one that does not is a baseline, which guesses from the question alone.
    """

    __pydantic_config__ = STRICT
    cell: str = "gru"
    embedding_size: Annotated[int, Range(1)] = 256
    hidden_size: Annotated[int, Range(1)] = 512
    attention_size: Annotated[int, Range(1)] = 256
    hops: Annotated[int, Range(1, 4)] = 2
    dropout: Annotated[float, Range(0, 1, below=True)] = 0.5
    sees: bool = True

    def __post_init__(self) -> None:
        check_ranges(self, "network ")


@dataclass(frozen=True)
class EncoderIdentity:
    """The encoder that the network sees by.

    Attributes:
        sha256: Of its weights; see :func:`encoder_sha256`.
        image: How a photo becomes pixels.
        encoder: What it is made of.
    """

    __pydantic_config__ = STRICT
    sha256: str
    image: ImageConfig
    encoder: EncoderConfig

    def require(self, other: "EncoderIdentity", path: Path) -> None:
        """Make sure that a captioner has this encoder.

        Args:
            other: That of the captioner.
            path: The file that answers questions, for the message.

        Raises:
            CheckpointError: If it has another, or is shown photos in another way.
        """
        if (self.image, self.encoder) != (other.image, other.encoder):
            raise CheckpointError(
                f"{path}: it answers with an encoder {self.encoder.name} at {self.image.size} pixels; the captioner "
                f"has {other.encoder.name} at {other.image.size} pixels, or the same set up in another way"
            )
        if self.sha256 != other.sha256:
            raise CheckpointError(
                f"{path}: it answers with the encoder {self.sha256[:12]}, and the captioner's is {other.sha256[:12]}; "
                "an answers file goes with the captioner that it was trained on"
            )


@dataclass(frozen=True)
class AnswerDescription:
    """What a network that answers questions is, but for its weights.

    Attributes:
        config: What it is made of.
        tokenizer: Of the questions' words.
        answers: All that it can answer.
        encoder: That it sees by.
        sizes: P and D, the lengths of that encoder's vector and of a cell of its grid.
        provenance: Where it comes from: name, version, recipe, data, commit, scores.
    """

    config: AnswerConfig
    tokenizer: Tokenizer
    answers: tuple[str, ...]
    encoder: EncoderIdentity
    sizes: tuple[int, int]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """Return the header of its file."""
        header = {
            "kind": KIND,
            "format_version": FORMAT_VERSION,
            "config": to_dict(self.config),
            "tokenizer": self.tokenizer.to_dict(),
            "answers": list(self.answers),
            "encoder": to_dict(self.encoder),
            "sizes": list(self.sizes),
            "provenance": dict(self.provenance),
        }
        return {key: json.dumps(value) for key, value in header.items()}


def describe_answers(file: CheckpointFile) -> AnswerDescription:
    """Return what a file that was read says of itself.

    Raises:
        CheckpointError: If it answers no questions, or has another format version.
        ConfigError: If it holds something that this version does not know.
    """
    header = _parse(file.metadata, file.path)
    return AnswerDescription(
        from_dict(AnswerConfig, header["config"], f"{file.path}: config"),
        tokenizer_from_dict(header["tokenizer"]),
        tuple(map(str, header["answers"])),
        from_dict(EncoderIdentity, header["encoder"], f"{file.path}: encoder"),
        (int(header["sizes"][0]), int(header["sizes"][1])),
        header["provenance"],
    )


def _parse(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    missing = [key for key in HEADER_KEYS if key not in metadata]
    if metadata.get("kind") != json.dumps(KIND) or missing:
        what = "it is a captioning model" if "calibration" in metadata or not metadata.get("kind") else "it is another"
        raise CheckpointError(f"{path}: not a file that answers questions; {what}, or its header is damaged")
    try:
        header = {key: json.loads(metadata[key]) for key in HEADER_KEYS}
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: its header is damaged: {error}") from None
    if header["format_version"] != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {header['format_version']}; this version of Captioner reads {FORMAT_VERSION}"
        )
    return header


def identify_encoder(file: CheckpointFile) -> EncoderIdentity:
    """Return which encoder a captioner's file has; decoder, confidences, graphs and provenance make no difference.

    Raises:
        CheckpointError: If it is no captioner, or damaged.
        ConfigError: If its header holds something that this version does not know.
    """
    config = file.describe().config
    try:
        return EncoderIdentity(encoder_sha256(load(file.content)), config.image, config.encoder)
    except SafetensorError as error:
        raise unreadable_file(file.path, error) from None


def encoder_sha256(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return a hash of an encoder's weights.

    It is over every weight by name, shape and value in half precision, so that a file of float32 and the same one in
    float16 have one encoder; counts of batches, which batch norms keep, are left out.

    Args:
        tensors: Of a captioner's file, under the names there.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if not name.startswith(ENCODER) or name.endswith(SCALE) or name.startswith(GRAPHS):
            continue
        value = tensors[name]
        if name + SCALE in tensors:
            value = value.astype(np.float32) * tensors[name + SCALE][:, None]
        if np.issubdtype(value.dtype, np.floating):
            with np.errstate(over="ignore"):
                half = np.ascontiguousarray(value, dtype=np.float16)
            digest.update(f"{name} {half.shape}".encode() + half.tobytes())
    return digest.hexdigest()
