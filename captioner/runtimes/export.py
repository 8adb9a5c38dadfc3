"""From a checkpoint to the same one with ONNX graphs, which are checked against torch."""

from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captioner.checkpoint import build_checkpoint, stored_weights, tensors_of, write_safetensors
from captioner.errors import CheckpointError, OptionError
from captioner.header import GRAPHS, LARGEST, SCALE, CheckpointFile
from captioner.model import CaptionModel
from captioner.quantization import restore_matrices, round_matrices
from captioner.runtimes.graphs import IntegerMatrices, name_weights, sensitive, tabulate_words
from captioner.runtimes.onnx import Interface, OnnxRuntime
from captioner.runtimes.torch import TorchRuntime
from captioner.runtimes.tracing import Traced, trace
from captioner.runtimes.weights import INTEGERS
from captioner.types import FloatArray, Runtime

BITS = (8, 32)
STEPS = 4  # that are compared
FLOAT_ERROR = 1e-3  # of log-probabilities, which graphs of float32 compute in another order
INTEGER_ERROR = 0.1  # of graphs with integers: the error's standard deviation, in those of the log-probabilities


@dataclass(frozen=True)
class Agreement:
    """How far the graphs are from torch, over a few steps from noise.

    Attributes:
        largest: The largest difference of a log-probability.
        relative: The standard deviation of the differences, in those of the log-probabilities.
    """

    largest: float
    relative: float


def export_checkpoint(source: Path | str | None, target: Path, bits: int = 32) -> Agreement:
    """Write a checkpoint with ONNX graphs beside its weights; it loads in torch as before.

    Args:
        source: The checkpoint; ``None`` is the shipped one.
        target: Where to; it may be the same file.
        bits: How a step multiplies by its matrices: 32 as torch does, 8 as integers. Matrices are then stored in 8 bits
            (:mod:`captioner.quantization`), but for those whose rounding row by row would change captions: these in 8
            bits by blocks, as the graphs multiply by them, or in 16 where a graph wants floating-point numbers.

    Returns:
        How far what was written is from torch with the same weights.

    Raises:
        CheckpointError: If the source cannot be used, or the graphs do not compute what torch does.
        OptionError: If the bits are others.
    """
    if bits not in BITS:
        raise OptionError(f"bits is {bits}; it must be one of {', '.join(map(str, BITS))}")
    file = CheckpointFile.read(source)
    checkpoint = build_checkpoint(file)
    traced, stored = trace(checkpoint.model), stored_weights(file)
    if bits == BITS[0]:
        rounded = {name for name in stored if name + SCALE in stored}
        stored = _rounded(checkpoint.model.state_dict(), traced, set(stored) - rounded)
        checkpoint.model.load_state_dict(restore_matrices(stored))
        traced = trace(checkpoint.model)
    found = _compare(checkpoint.model, traced, stored, BITS[1])
    if not found.largest <= FLOAT_ERROR:
        raise CheckpointError(f"{file.path}: the graphs are {found.largest:.2g} from torch; it must be {FLOAT_ERROR}")
    if bits == BITS[0]:
        found = _compare(checkpoint.model, traced, stored, bits)
        if not found.relative <= INTEGER_ERROR:
            raise CheckpointError(
                f"{file.path}: with 8 bits log-probabilities err by {found.relative:.2g} of their spread; "
                f"it must be at most {INTEGER_ERROR}"
            )
    graphs, interface = _finished(traced, stored, bits)
    tensors = {GRAPHS + name: torch.frombuffer(bytearray(graph), dtype=torch.uint8) for name, graph in graphs.items()}
    tensors |= stored | tensors_of(checkpoint.class_words)
    write_safetensors(target, tensors, {**checkpoint.description.metadata(), "onnx": interface.text()})
    return found


def _rounded(weights: Mapping[str, Tensor], traced: Traced, matrices: Collection[str]) -> dict[str, Tensor]:
    """Return weights as they are stored, of which the given matrices may bear no rounding row by row."""
    step = deepcopy(traced.graphs["step"])
    tabulate_words(step)
    kept = sensitive(traced.graphs["prepare"], step, matrices)
    named = _finished(traced, round_matrices(weights, kept=kept), BITS[0])[1].weights
    read = {name for names in named.values() for name in names}
    in_blocks = {name for name in kept if name not in read and name + INTEGERS in read}
    return round_matrices(weights, kept=kept, in_blocks=in_blocks)


def _finished(traced: Traced, stored: Mapping[str, Tensor], bits: int) -> tuple[dict[str, bytes], Interface]:
    """Return graphs as they are stored, and what the header says of them."""
    graphs, weights = {}, {}
    matrices = {name for name, value in stored.items() if value.ndim == 2 and not name.endswith(LARGEST)}
    integers = {"prepare": {name for name in matrices if name + SCALE in stored}, "step": matrices, "inspect": matrices}
    for name, original in traced.graphs.items():
        graph = type(original)()
        graph.CopyFrom(original)
        if name in ("step", "inspect"):
            tabulate_words(graph)
        if bits == BITS[0] and name in integers:
            IntegerMatrices(graph, integers[name]).apply()
        weights[name] = name_weights(graph, stored)
        graphs[name] = graph.SerializeToString()
    interface = Interface(traced.grid, traced.memory, traced.attends, traced.activations, weights, bits)
    return graphs, interface


def _compare(model: CaptionModel, traced: Traced, stored: Mapping[str, Tensor], bits: int) -> Agreement:
    graphs, interface = _finished(traced, stored, bits)
    weights = {name: value.numpy() for name, value in stored.items()}
    ours, theirs = OnnxRuntime(graphs, weights, interface), TorchRuntime(model)
    expected, given = (_log_probs(runtime, model.config.image.size) for runtime in (theirs, ours))
    errors = given - expected
    return Agreement(float(np.abs(errors).max()), float(errors.std() / expected.std()))


def _log_probs(runtime: Runtime, side: int) -> FloatArray:  # type: ignore[type-arg]
    """Return the log-probabilities ``[STEPS, R, V]`` of a few steps, three rows for each of two images of noise."""
    numbers = np.random.default_rng(0)
    memory = runtime.prepare(runtime.encode(numbers.standard_normal((2, 3, side, side), dtype=np.float32)))
    state = runtime.begin(memory, 3)
    tokens, found = np.full(6, 1), []
    for _ in range(STEPS):
        step = runtime.step(tokens, memory, state)
        state = step.state.select(np.array([1, 0, 2, 3, 5, 4]))
        tokens = numbers.integers(step.log_probs.shape[1], size=6)
        found.append(step.log_probs)
    return np.stack(found)
