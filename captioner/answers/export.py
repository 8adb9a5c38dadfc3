"""From a file that answers questions to the same one with ONNX graphs, which are checked against torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from captioner.answers.checkpoint import build_answers, stored_answers
from captioner.answers.header import SHIPPED_ANSWERS
from captioner.answers.network import AnswerNetwork
from captioner.answers.onnx import AnswerInterface, OnnxAnswers
from captioner.answers.torch import TorchAnswers
from captioner.checkpoint import write_safetensors
from captioner.errors import CheckpointError
from captioner.header import GRAPHS, CheckpointFile
from captioner.runtimes.graphs import name_weights
from captioner.runtimes.tracing import export_graph
from captioner.types import Features

LARGEST_ERROR = 1e-4  # of a probability
EXAMPLE, LOCATIONS = 2, 4  # photos and cells of what is traced
ROWS, COLS = 3, 2  # of what is compared


class _Read(nn.Module):
    def __init__(self, model: AnswerNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return self.model.read(tokens, state)


class _Look(nn.Module):
    def __init__(self, model: AnswerNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, question: Tensor, vector: Tensor | None = None, grid: Tensor | None = None) -> tuple[Tensor, ...]:
        seen = Features(question if vector is None else vector, grid, 0, 0)
        logits, weights = self.model.look(question, seen)
        return (logits.softmax(dim=1),) if weights is None else (logits.softmax(dim=1), weights)


def export_answers(source: Path | str | None, target: Path) -> float:
    """Write a file that answers questions with ONNX graphs beside its weights; it loads in torch as before.

    Args:
        source: The file; ``None`` is the shipped one.
        target: Where to; it may be the same file.

    Returns:
        The largest difference of a probability from torch's, over noise.

    Raises:
        CheckpointError: If the source cannot be used, or the graphs do not compute what torch does.
    """
    file = CheckpointFile.read(source or SHIPPED_ANSWERS)
    model = build_answers(file)
    stored = stored_answers(file)
    graphs, interface = _graphs(model.network, model.description.sizes, stored)
    ours = OnnxAnswers(graphs, {name: value.numpy() for name, value in stored.items()}, interface)
    error = _compare(ours, TorchAnswers(model.network), len(model.description.tokenizer), model.description.sizes)
    if not error <= LARGEST_ERROR:
        raise CheckpointError(f"{file.path}: the graphs are {error:.2g} from torch; it must be {LARGEST_ERROR}")
    tensors = {GRAPHS + name: torch.frombuffer(bytearray(graph), dtype=torch.uint8) for name, graph in graphs.items()}
    write_safetensors(target, {**stored, **tensors}, {**model.description.metadata(), "onnx": interface.text()})
    return error


@torch.no_grad()
def _graphs(
    network: AnswerNetwork, sizes: Sequence[int], stored: Mapping[str, Tensor]
) -> tuple[dict[str, bytes], AnswerInterface]:
    state = network.begin(EXAMPLE)
    names = [f"state{index}" for index in range(len(state))]
    tokens = torch.arange(EXAMPLE) % len(network.embedding.weight)
    photo = [torch.randn(EXAMPLE, sizes[0]), torch.randn(EXAMPLE, LOCATIONS, sizes[1])] if network.config.sees else []
    given = ["question", "vector", "grid"][: 1 + len(photo)]
    models: dict[str, onnx.ModelProto] = {
        "read": export_graph(_Read(network), [tokens, *state], ["tokens", *names], [f"{one}_after" for one in names]),
        "look": export_graph(
            _Look(network), [state[0], *photo], given, ["probabilities", "attention"][: 1 + network.config.sees]
        ),
    }
    _let_grids_vary(models["look"])
    weights = {name: name_weights(graph, stored) for name, graph in models.items()}
    interface = AnswerInterface([vector.shape[1] for vector in state], network.config.sees, weights)
    return {name: graph.SerializeToString() for name, graph in models.items()}, interface


def _let_grids_vary(look: onnx.ModelProto) -> None:
    """Let the number of cells, which is the captioner's, be any; that the graph keeps to it is what is compared."""
    for one in (*look.graph.input, *look.graph.output):
        if one.name in ("grid", "attention"):
            one.type.tensor_type.shape.dim[1].dim_param = "cells"


def _compare(ours: OnnxAnswers, theirs: TorchAnswers, words: int, sizes: Sequence[int]) -> float:
    numbers = np.random.default_rng(0)
    tokens, lengths = numbers.integers(0, words, (3, 5)), np.array([5, 1, 3])
    features = Features(
        numbers.standard_normal((3, sizes[0]), dtype=np.float32),
        numbers.standard_normal((3, ROWS * COLS, sizes[1]), dtype=np.float32),
        ROWS,
        COLS,
    )
    pairs = zip(ours.answer(tokens, lengths, features), theirs.answer(tokens, lengths, features), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs if a is not None and b is not None)
