"""A network that answers questions, as two ONNX graphs in the same file as its weights: ``read`` and ``look``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from captioner.errors import CheckpointError
from captioner.header import GRAPHS, SCALE, CheckpointFile, unreadable_file
from captioner.types import Features, FloatArray, IntArray

GRAPH_VERSION = 1
Arrays = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class AnswerInterface:
    """What the graphs take and give, as the file's header tells.

    Attributes:
        state: The length of each vector that the reader carries from word to word; the first is its hidden vector.
        sees: Whether ``look`` takes a photo and gives attention.
        weights: For each graph the weights that it names.
        version: Of this description.
    """

    state: Sequence[int]
    sees: bool
    weights: Mapping[str, Sequence[str]]
    version: int = GRAPH_VERSION

    @classmethod
    def read(cls, file: CheckpointFile) -> "AnswerInterface":
        """Read it from a file's header.

        Raises:
            CheckpointError: If this version of Captioner cannot run the graphs.
        """
        try:
            found = cls(**json.loads(file.metadata["onnx"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{file.path}: it has no ONNX graphs, or they are damaged: {error}") from None
        if found.version != GRAPH_VERSION:
            raise CheckpointError(
                f"{file.path}: its ONNX graphs are of another version of Captioner, which reads {GRAPH_VERSION}; "
                "export the file again"
            )
        return found

    def text(self) -> str:
        """Return it as the header's text."""
        return json.dumps({name: getattr(self, name) for name in self.__dataclass_fields__})


class OnnxAnswers:
    """A network that answers questions, in ONNX Runtime.

    Args:
        graphs: ``read`` and ``look``.
        weights: Those that the graphs name, by their names in the file.
        interface: What the graphs take and give.
    """

    name = "onnx"

    def __init__(
        self, graphs: Mapping[str, bytes], weights: Mapping[str, NDArray[Any]], interface: AnswerInterface
    ) -> None:
        self._interface = interface
        self._read, self._look = (_session(graphs[name], weights, interface.weights[name]) for name in ("read", "look"))

    @classmethod
    def load(cls, file: CheckpointFile) -> "OnnxAnswers":
        """Load a file with graphs.

        Raises:
            CheckpointError: If it is damaged, or of another version.
        """
        interface = AnswerInterface.read(file)
        try:
            tensors = load(file.content)
            return cls({name: tensors[GRAPHS + name].tobytes() for name in interface.weights}, tensors, interface)
        except SafetensorError as error:
            raise unreadable_file(file.path, error) from None
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"{file.path}: its ONNX graphs and weights do not fit: {error}") from None

    def answer(
        self, tokens: IntArray, lengths: IntArray, features: Features[Any]
    ) -> tuple[FloatArray, FloatArray | None]:
        """Answer questions, one about each photo.

        Args:
            tokens: ``[B, T]``, padded at their ends.
            lengths: ``[B]``, of each question, at least 1.
            features: Of B photos.

        Returns:
            The probabilities of the answers ``[B, A]``, and where it looked, ``[B, L]``, if it sees.
        """
        state: list[NDArray[Any]] = [np.zeros((len(tokens), size), np.float32) for size in self._interface.state]
        for step in range(tokens.shape[1]):
            given = {"tokens": np.ascontiguousarray(tokens[:, step])}
            given |= {f"state{index}": array for index, array in enumerate(state)}
            goes_on = (step < lengths)[:, None]
            after = self._read.run(None, given)
            state = [np.where(goes_on, new, old) for new, old in zip(after, state, strict=True)]
        seen = {"vector": features.vector, "grid": features.grid} if self._interface.sees else {}
        probabilities, *weights = self._look.run(None, {"question": state[0], **seen})
        return probabilities, weights[0] if weights else None


def _session(graph: bytes, weights: Mapping[str, NDArray[Any]], names: Sequence[str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # there is too little to do for more
    options.log_severity_level = 3  # errors
    values = [ort.OrtValue.ortvalue_from_numpy(_weight(weights, name)) for name in names]
    options.add_external_initializers(list(names), values)
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _weight(weights: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """Return a weight as float32, from 8 bits or half precision."""
    value = weights[name]
    if name + SCALE in weights:
        return np.asarray(value.astype(np.float32) * weights[name + SCALE][:, None])
    return value.astype(np.float32) if value.dtype == np.float16 else value
