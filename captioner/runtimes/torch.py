"""Models computed by torch, on whatever device they are."""

from dataclasses import dataclass
from typing import Any

import torch

from captioner.cpus import available_cpus
from captioner.decoders import Decoder
from captioner.devices import describe_device
from captioner.model import CaptionModel
from captioner.types import DecoderState, Features, FloatArray, IntArray, ScoredStep


@dataclass(frozen=True)
class TorchState:
    """The state of a decoder, whose rows are chosen by arrays.

    Attributes:
        inner: The decoder's own.
        device: Where it lives.
    """

    inner: DecoderState
    device: torch.device

    def select(self, rows: IntArray) -> "TorchState":
        """Return the state of the given rows ``[R']``."""
        return TorchState(self.inner.select(torch.from_numpy(rows).to(self.device)), self.device)


class TorchSteps:
    """A decoder as search takes it: tokens go in and log-probabilities come out as arrays.

    The memory is what ``decoder.prepare`` returned. The decoder stays in its mode, and nothing learns from the steps.

    Args:
        decoder: The decoder, on any device.
    """

    def __init__(self, decoder: Decoder[Any, Any]) -> None:
        self.decoder = decoder

    @property
    def attends(self) -> bool:
        """Whether the decoder looks at the grid."""
        return self.decoder.attends

    @torch.inference_mode()
    def prepare(self, features: Features) -> Any:
        """Compute once what every step needs of the images."""
        return self.decoder.prepare(features)

    @torch.inference_mode()
    def begin(self, memory: Any, rows_per_image: int = 1) -> TorchState:
        """Return the state before the first step, for ``B * rows_per_image`` rows."""
        return TorchState(self.decoder.begin(memory, rows_per_image), self.decoder.device)

    @torch.inference_mode()
    def select(self, memory: Any, images: IntArray) -> Any:
        """Return the memory of the given images ``[B']``."""
        return memory.select(self._here(images))

    @torch.inference_mode()
    def step(self, tokens: IntArray, memory: Any, state: TorchState) -> ScoredStep[TorchState]:
        """Read one token per row (``[R]`` ids) and score the next."""
        step = self.decoder.step(self._here(tokens), memory, state.inner)
        return ScoredStep(
            step.logits.float().log_softmax(dim=-1).cpu().numpy(),
            None if step.attention is None else step.attention.float().cpu().numpy(),
            TorchState(step.state, state.device),
        )

    @torch.inference_mode()
    def inspect(self, tokens: IntArray, memory: Any, state: TorchState) -> dict[str, FloatArray]:
        """Read whole captions ``[R, T]`` and return what goes on in every cell, ``[R, T, N]`` by name."""
        record = self.decoder.inspect(self._here(tokens), memory, state.inner)
        return {name: values.float().cpu().numpy() for name, values in record.items()}

    def _here(self, tokens: IntArray) -> torch.Tensor:
        return torch.from_numpy(tokens).to(self.decoder.device)


class TorchRuntime(TorchSteps):
    """A captioning model in torch, in evaluation mode.

    Args:
        model: The model, on any device.
    """

    name = "torch"
    compiles_sizes = True  # oneDNN does

    def __init__(self, model: CaptionModel) -> None:
        super().__init__(model.eval().decoder)
        self.model = model
        model.encoder.to(memory_format=torch.channels_last)  # a fifth faster on CPUs: 24 ms in place of 30

    @property
    def place(self) -> str:
        """Where it computes, for people."""
        return describe_device(self.decoder.device)

    @torch.inference_mode()
    def encode(self, pixels: FloatArray) -> Features:
        """Encode pixels ``[B, 3, H, W]``."""
        features: Features = self.model(torch.from_numpy(pixels).to(self.decoder.device))
        return features

    def vectors(self, features: Features) -> FloatArray:
        """Return the image vectors ``[B, P]``."""
        vectors: FloatArray = features.vector.float().cpu().numpy()
        return vectors


def use_threads(threads: int | None) -> None:
    """Set the CPU threads of all networks of this process; ``None`` is torch's choice within a container's limits."""
    if threads is None:
        threads = min(torch.get_num_threads(), available_cpus())  # torch knows nothing of those limits
    torch.set_num_threads(threads)
