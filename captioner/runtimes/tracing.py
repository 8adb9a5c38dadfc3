"""The parts of a captioning model as ONNX graphs, traced by torch: encoder, prepare, step and inspect.

Weights keep their names in the checkpoint. Batches and rows may be of any size, and so may the number of locations that
the decoder attends to: several frames of a moving picture are looked at as one grid.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from captioner.config import ModelConfig
from captioner.decoders import Decoder
from captioner.model import CaptionModel
from captioner.runtimes.padding import fold_padding
from captioner.types import Features

OPSET = 17  # the first with layer norms
IMAGES, ROWS = 2, 3  # of the example that is traced: images, and rows of each
PREFIX = "model."  # before the names of weights while they are traced


@dataclass(frozen=True)
class Traced:
    """A model's graphs.

    Attributes:
        graphs: ``encoder``, ``prepare``, ``step`` and ``inspect``, which is ``step`` with activations.
        grid: Rows and columns of the grid, zeros if there is none.
        memory: How many arrays of the memory a step reads.
        attends: Whether a step gives attention.
        activations: The names of what ``inspect`` gives after the state.
    """

    graphs: dict[str, onnx.ModelProto]
    grid: tuple[int, int]
    memory: int
    attends: bool
    activations: tuple[str, ...]


class _Encoder(nn.Module):
    def __init__(self, model: CaptionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        features = self.model(pixels)
        return (features.vector,) if features.grid is None else (features.vector, features.grid)


class _Prepare(nn.Module):
    def __init__(self, model: CaptionModel, kept: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.kept = kept

    def forward(self, vector: Tensor, grid: Tensor | None = None) -> tuple[Tensor, ...]:
        memory = self.model.decoder.prepare(Features(vector, grid, 0, 0))
        leaves = list(_leaves(memory))
        return (*(leaves[index] for index in self.kept), *_leaves(self.model.decoder.begin(memory)))


class _Step(nn.Module):
    def __init__(self, model: CaptionModel, memory: Any, state: Any) -> None:
        super().__init__()
        self.model = model
        self.templates = memory, state

    def forward(self, tokens: Tensor, *arrays: Tensor) -> tuple[Tensor, ...]:
        rest = iter(arrays)
        memory, state = (_filled(template, rest) for template in self.templates)
        return self.outputs(tokens, memory, state)

    def outputs(self, tokens: Tensor, memory: Any, state: Any) -> tuple[Tensor, ...]:
        step = self.model.decoder.step(tokens, memory, state)
        attention = () if step.attention is None else (step.attention,)
        return (step.logits.log_softmax(dim=-1), *attention, *_leaves(step.state))


class _Inspect(_Step):
    names: tuple[str, ...] = ()

    def outputs(self, tokens: Tensor, memory: Any, state: Any) -> tuple[Tensor, ...]:
        record: dict[str, list[Tensor]] = {}
        with self.model.decoder.watched(record):
            after = self.model.decoder.step(tokens, memory, state).state
        self.names = tuple(record)
        return (*_leaves(after), *(values[0] for values in record.values()))


def _leaves(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of a decoder's memory or state, however deep they are."""
    if isinstance(value, Tensor):
        if value.ndim:  # a number of images is a tensor, too, while it is traced
            yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _leaves(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _leaves(getattr(value, field.name))


def _filled(template: Any, leaves: Iterator[Tensor]) -> Any:
    """Return a memory or state like the template, with other tensors in their order; the inverse of :func:`_leaves`."""
    if isinstance(template, Tensor):
        return next(leaves)
    if isinstance(template, tuple):
        return tuple(_filled(part, leaves) for part in template)
    if is_dataclass(template) and not isinstance(template, type):
        return replace(
            template, **{field.name: _filled(getattr(template, field.name), leaves) for field in fields(template)}
        )
    return template


@torch.no_grad()
def trace(model: CaptionModel) -> Traced:
    """Trace a model in evaluation mode, on the CPU."""
    with _pools_as_matrices(model):
        return _trace(model)


def _trace(model: CaptionModel) -> Traced:
    pixels = _example(model.config)
    features: Features = model(pixels)
    decoder: Decoder[Any, Any] = model.decoder
    memory = decoder.prepare(features)
    state = decoder.begin(memory, ROWS)
    seen = {"vector": features.vector} | ({} if features.grid is None else {"grid": features.grid})
    leaves, carried = list(_leaves(memory)), list(_leaves(state))
    states = [f"state{index}" for index in range(len(carried))]
    names = ["tokens", *(f"memory{index}" for index in range(len(leaves))), *states]
    example = [torch.arange(IMAGES * ROWS) % 4, *leaves, *carried]
    after = [f"{name}_after" for name in states]
    looked = ["attention"] if decoder.attends else []
    step = export_graph(_Step(model, memory, state), example, names, ["log_probs", *looked, *after])
    inspecting = _Inspect(model, memory, state)
    inspect = export_graph(inspecting, example, names, after)
    kept = [index for index in range(len(leaves)) if _reads(step, f"memory{index}")]
    for graph in (step, inspect):
        _renumber(graph, kept)
    prepared = [*(f"memory{index}" for index in range(len(kept))), *states]
    encoder = export_graph(_Encoder(model), [pixels], ["pixels"], list(seen))
    fold_padding(encoder)
    graphs = {
        "encoder": encoder,
        "prepare": export_graph(_Prepare(model, kept), list(seen.values()), list(seen), prepared),
        "step": step,
        "inspect": inspect,
    }
    return Traced(graphs, (features.rows, features.cols), len(kept), decoder.attends, inspecting.names)


def _example(config: ModelConfig) -> Tensor:
    return torch.randn(IMAGES, 3, config.image.size, config.image.size, generator=torch.Generator().manual_seed(0))


def export_graph(
    module: nn.Module, example: Sequence[Tensor], inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Return a module's graph; the first dimension of all that goes in and out may vary.

    So may the second of what goes in with three: these are locations.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that become constants, which only those of the image do
        torch.onnx.export(
            module.eval(),
            tuple(example),
            buffer,  # type: ignore[arg-type]  # which the exporter that is chosen below writes into
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=_dynamic_axes(example, inputs, outputs),
            opset_version=OPSET,
            do_constant_folding=False,  # so that weights keep their names; ONNX Runtime folds when it loads them
            dynamo=False,  # ten times as fast as torch.export, and needs no further package
        )
    model = onnx.load_from_string(buffer.getvalue())
    _strip_prefix(model.graph)
    _drop_unread(model.graph)
    return model


def _dynamic_axes(
    example: Sequence[Tensor], inputs: Sequence[str], outputs: Sequence[str]
) -> dict[str, dict[int, str]]:
    located = {name for name, value in zip(inputs, example, strict=True) if value.ndim == 3}  # [B, L, any]
    return {name: {0: "rows"} | ({1: "locations"} if name in located else {}) for name in (*inputs, *outputs)}


def _strip_prefix(graph: onnx.GraphProto) -> None:
    """Name weights as the checkpoint does."""
    for weight in graph.initializer:
        weight.name = weight.name.removeprefix(PREFIX)
    for node in graph.node:
        node.input[:] = [name.removeprefix(PREFIX) for name in node.input]
        node.output[:] = [name.removeprefix(PREFIX) for name in node.output]  # of a weight that equals another


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Let a graph ask for no more than it reads."""
    for unread in [one for one in graph.input if not any(one.name in node.input for node in graph.node)]:
        if not any(one.name == unread.name for one in graph.output):
            graph.input.remove(unread)


def _reads(model: onnx.ModelProto, name: str) -> bool:
    return any(one.name == name for one in model.graph.input)


def _renumber(model: onnx.ModelProto, kept: Sequence[int]) -> None:
    """Number the memory's arrays from 0 on, without those that are not kept."""
    names = {f"memory{old}": f"memory{new}" for new, old in enumerate(kept)}
    for one in model.graph.input:
        one.name = names.get(one.name, one.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


class _MatrixPool(nn.Module):
    """Average pooling to a size that need not divide that of the map, as products with two constant matrices."""

    def __init__(self, pool: nn.AdaptiveAvgPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, maps: Tensor) -> Tensor:
        size: Any = self.pool.output_size
        rows, cols = (size, size) if isinstance(size, int) else size
        down, across = (_means(int(maps.shape[axis]), count) for axis, count in ((2, rows), (3, cols)))
        pooled: Tensor = down @ maps @ across.t()
        return pooled


def _means(size: int, count: int) -> Tensor:
    """Return a matrix ``[count, size]`` whose rows take the mean of the parts that adaptive pooling takes."""
    matrix = torch.zeros(count, size)
    for row in range(count):
        start, end = row * size // count, -(-(row + 1) * size // count)
        matrix[row, start:end] = 1 / (end - start)
    return matrix


@contextmanager
def _pools_as_matrices(model: CaptionModel) -> Iterator[None]:
    """Replace adaptive pools to several cells meanwhile, which ONNX does not have."""
    found = [
        (parent, name, child)
        for parent in model.encoder.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1))
    ]
    for parent, name, child in found:
        setattr(parent, name, _MatrixPool(child))
    try:
        yield
    finally:
        for parent, name, child in found:
            setattr(parent, name, child)
