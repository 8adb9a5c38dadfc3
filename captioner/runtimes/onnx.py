"""Models computed by ONNX Runtime, from the graphs that ``captioner export`` adds to a checkpoint; no torch is needed.

Graphs hold no weights: they name those of the checkpoint, which so serve both runtimes
(:mod:`captioner.runtimes.weights`).
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from captioner.class_words import ClassWords
from captioner.cpus import available_cpus
from captioner.devices import describe_threads
from captioner.errors import CheckpointError, OptionError
from captioner.header import GRAPHS, CheckpointFile, Description, unreadable_file
from captioner.runtimes.weights import GraphWeights
from captioner.types import Features, FloatArray, IntArray, ScoredStep

GRAPH_VERSION = 2
STEP_THREADS = 2  # a photo took 44 ms with two and 55 with one, on two cores; there is too little to do for more
Arrays = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Interface:
    """What an exported model's graphs take and give, as its header tells.

    Attributes:
        grid: Rows and columns of the grid, zeros if there is none.
        memory: How many arrays ``prepare`` gives that every step reads; the state before the first word follows.
        attends: Whether a step gives attention.
        activations: What goes on in the cells, by name, in the order in which ``inspect`` gives it.
        weights: For each graph the weights that it names.
        bits: Of what the decoder multiplies: 8 for integers, 32 for floating-point numbers.
        version: Of this description.
    """

    grid: tuple[int, int]
    memory: int
    attends: bool
    activations: tuple[str, ...]
    weights: Mapping[str, Sequence[str]]
    bits: int = 32
    version: int = GRAPH_VERSION

    @classmethod
    def read(cls, file: CheckpointFile) -> "Interface":
        """Read it from a file's header.

        Raises:
            CheckpointError: If this version of Captioner cannot run the graphs.
        """
        values = file.header()["onnx"]
        if not isinstance(values, dict) or values.get("version") != GRAPH_VERSION:
            raise CheckpointError(
                f"{file.path}: its ONNX graphs are of another version of Captioner, which reads {GRAPH_VERSION}; "
                "export the model again"
            )
        try:
            rows, cols = values.pop("grid")
            return cls((rows, cols), activations=tuple(values.pop("activations")), **values)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{file.path}: its description of ONNX graphs is damaged: {error}") from None

    def text(self) -> str:
        """Return it as the header's text."""
        return json.dumps({name: getattr(self, name) for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class OnnxState:
    """What a decoder carries from step to step: some arrays, one row each per row."""

    arrays: Arrays

    def select(self, rows: IntArray) -> "OnnxState":
        """Return the state of the given rows ``[R']``."""
        return OnnxState(tuple(array[rows] for array in self.arrays))


@dataclass(frozen=True)
class OnnxMemory:
    """What every step needs of B images.

    Attributes:
        arrays: One entry each per image.
        start: The state before the first word, one row per image.
    """

    arrays: Arrays
    start: Arrays


class OnnxRuntime:
    """A captioning model as ONNX graphs.

    Args:
        graphs: The graphs ``encoder``, ``prepare``, ``step`` and ``inspect``, which is ``step`` with activations.
        weights: Those that the graphs name, by their names in the file.
        interface: What the graphs take and give.
        threads: CPU threads; ``None`` is as many as this process may keep busy.
    """

    name = "onnx"
    compiles_sizes = False

    def __init__(
        self,
        graphs: Mapping[str, bytes],
        weights: Mapping[str, NDArray[Any]],
        interface: Interface,
        threads: int | None = None,
    ) -> None:
        self.attends = interface.attends
        self._interface = interface
        self._graphs = graphs
        self._weights = weights
        self._threads = threads or available_cpus()
        self._encoder = self._session("encoder", self._threads)
        self._prepare = self._session("prepare", min(self._threads, STEP_THREADS))
        self._step = self._session("step", min(self._threads, STEP_THREADS))

    @property
    def place(self) -> str:
        """Where it computes, for people."""
        return f"cpu ({describe_threads(self._threads)})"

    def encode(self, pixels: FloatArray) -> Features[Any]:
        """Encode pixels ``[B, 3, H, W]``, as many images side by side as there are threads, and the rest one by one.

        So threads need not wait for each other, and memory does not grow with the batch as it does where images are
        encoded together.
        """
        images = [{"pixels": pixels[index : index + 1]} for index in range(len(pixels))]
        aside = len(images) - len(images) % self._threads if self._threads > 1 else 0
        found = list(self._workers.map(self._lone_encoder.run, repeat(None), images[:aside])) if aside else []
        found += [self._encoder.run(None, image) for image in images[aside:]]
        vector, *grid = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return Features(vector, grid[0] if grid else None, *self._interface.grid)

    def vectors(self, features: Features[Any]) -> FloatArray:
        """Return the image vectors ``[B, P]``."""
        vectors: FloatArray = features.vector
        return vectors

    def prepare(self, features: Features[Any]) -> OnnxMemory:
        """Compute once what every step needs of the images.

        Raises:
            OptionError: If the grids are of several frames, which graphs of earlier versions do not take.
        """
        given = {"vector": features.vector, "grid": features.grid}
        inputs = self._prepare.get_inputs()
        _check_locations({one.name: one.shape for one in inputs}, features)
        found = self._prepare.run(None, {one.name: given[one.name] for one in inputs})
        return OnnxMemory(tuple(found[: self._interface.memory]), tuple(found[self._interface.memory :]))

    def begin(self, memory: OnnxMemory, rows_per_image: int = 1) -> OnnxState:
        """Return the state before the first step, for ``B * rows_per_image`` rows."""
        return OnnxState(tuple(np.repeat(array, rows_per_image, axis=0) for array in memory.start))

    def select(self, memory: OnnxMemory, images: IntArray) -> OnnxMemory:
        """Return the memory of the given images ``[B']``."""
        arrays, start = (tuple(array[images] for array in part) for part in (memory.arrays, memory.start))
        return OnnxMemory(arrays, start)

    def step(self, tokens: IntArray, memory: OnnxMemory, state: OnnxState) -> ScoredStep[OnnxState]:
        """Read one token per row (``[R]`` ids) and score the next."""
        log_probs, *found = self._step.run(None, _inputs(tokens, memory, state))
        attention = found.pop(0) if self.attends else None
        return ScoredStep(log_probs, attention, OnnxState(tuple(found)))

    def inspect(self, tokens: IntArray, memory: OnnxMemory, state: OnnxState) -> dict[str, FloatArray]:
        """Read whole captions ``[R, T]`` and return what goes on in every cell, ``[R, T, N]`` by name."""
        columns = []
        for column in tokens.T:
            found = self._inspect.run(None, _inputs(column, memory, state))
            state = OnnxState(tuple(found[: len(state.arrays)]))
            columns.append(found[len(state.arrays) :])
        arrays = zip(*columns, strict=True)
        return {name: np.stack(one, axis=1) for name, one in zip(self._interface.activations, arrays, strict=True)}

    @cached_property
    def _workers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="encoder")  # they start when they are needed

    @cached_property
    def _lone_encoder(self) -> ort.InferenceSession:
        """The encoder on whatever thread calls it."""
        return self._session("encoder")

    @cached_property
    def _inspect(self) -> ort.InferenceSession:
        return self._session("inspect")  # seldom asked for

    def _session(self, name: str, threads: int = 1) -> ort.InferenceSession:
        """Load a graph."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others may need the core meanwhile
        options.log_severity_level = 3  # errors
        options.enable_mem_pattern = name == "encoder"  # one is kept for every shape, and a step meets many
        names = list(self._interface.weights[name])
        weights = GraphWeights(self._weights)
        values = [ort.OrtValue.ortvalue_from_numpy(weights[one]) for one in names]
        if names:
            options.add_external_initializers(names, values)
        return ort.InferenceSession(self._graphs[name], options, providers=["CPUExecutionProvider"])


def _check_locations(shapes: Mapping[str, Sequence[int | str]], features: Features[Any]) -> None:
    """Make sure that a graph takes as many locations as there are; the shapes hold a name for what may vary."""
    if (
        "grid" in shapes
        and isinstance(shapes["grid"][1], int)
        and features.require_grid().shape[1] != shapes["grid"][1]
    ):
        raise OptionError(
            "the model's ONNX graphs are of an earlier version, which looks at one frame at a time; "
            "captioner export makes new ones"
        )


def _inputs(tokens: IntArray, memory: OnnxMemory, state: OnnxState) -> dict[str, NDArray[Any]]:
    given = {"tokens": np.ascontiguousarray(tokens)}
    given |= {f"memory{index}": array for index, array in enumerate(memory.arrays)}
    return given | {f"state{index}": array for index, array in enumerate(state.arrays)}


@dataclass(frozen=True)
class OnnxModel:
    """A model that was exported, ready to run.

    Attributes:
        description: What it is, but for its weights.
        class_words: What finds words in the image vector, if there is something.
    """

    description: Description
    class_words: ClassWords | None
    _runtime: OnnxRuntime

    @classmethod
    def load(cls, file: CheckpointFile, threads: int | None = None) -> "OnnxModel":
        """Load a checkpoint with graphs.

        Raises:
            CheckpointError: If it is damaged, or of another version.
            ConfigError: If its header holds something that this version does not know.
        """
        interface = Interface.read(file)
        try:
            tensors = load(file.content)
            graphs = {name: tensors[GRAPHS + name].tobytes() for name in interface.weights}
            runtime = OnnxRuntime(graphs, tensors, interface, threads)
            description = file.describe()
            words = ClassWords.read(description.class_words, tensors, len(description.tokenizer))
        except (SafetensorError, ValueError) as error:
            raise unreadable_file(file.path, error) from None
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"{file.path}: its ONNX graphs and weights do not fit: {error}") from None
        return cls(description, words, runtime)

    def runtime(self) -> OnnxRuntime:
        """Return what computes it."""
        return self._runtime
