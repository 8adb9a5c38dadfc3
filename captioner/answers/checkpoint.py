"""A network that answers questions, as one safetensors file without an encoder."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from captioner.answers.header import SHIPPED_ANSWERS, AnswerDescription, describe_answers
from captioner.answers.network import AnswerNetwork
from captioner.checkpoint import write_safetensors
from captioner.errors import CheckpointError
from captioner.header import GRAPHS, CheckpointFile, unreadable_file
from captioner.quantization import restore_matrices, round_matrices


@dataclass(frozen=True)
class AnswerModel:
    """What a file that answers questions holds.

    Attributes:
        network: In evaluation mode.
        description: What it is.
    """

    network: AnswerNetwork
    description: AnswerDescription


def save_answers(model: AnswerModel, path: Path) -> None:
    """Write a file: matrices in 8 bits, the rest in half precision; an interrupted write leaves the old file."""
    weights = {name: value.detach().cpu().contiguous() for name, value in model.network.state_dict().items()}
    write_safetensors(path, round_matrices(weights), model.description.metadata())


def load_answers(path: Path | str | None = None) -> AnswerModel:
    """Build the network that a file describes and load its weights, as float32 on the CPU.

    Args:
        path: The file; ``None`` is the shipped one.

    Raises:
        CheckpointError: If it is missing, answers no questions, or its weights do not fit its description.
        ConfigError: If it holds something that this version does not know.
    """
    return build_answers(CheckpointFile.read(path or SHIPPED_ANSWERS))


def build_answers(file: CheckpointFile) -> AnswerModel:
    """Build the network of a file that was read; it raises what :func:`load_answers` does."""
    description = describe_answers(file)
    network = AnswerNetwork(
        description.config, len(description.tokenizer), len(description.answers), *description.sizes
    )
    try:
        network.load_state_dict(restore_matrices(stored_answers(file)))
    except RuntimeError as error:
        raise CheckpointError(f"{file.path}: its weights do not fit its description: {error}") from None
    return AnswerModel(network.eval(), description)


def stored_answers(file: CheckpointFile) -> dict[str, torch.Tensor]:
    """Return the weights of a file as they are stored."""
    try:
        return {name: value for name, value in load(file.content).items() if not name.startswith(GRAPHS)}
    except SafetensorError as error:
        raise unreadable_file(file.path, error) from None
