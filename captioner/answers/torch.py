"""A network that answers questions, in torch."""

from typing import Any

import numpy as np
import torch

from captioner.answers.network import AnswerNetwork
from captioner.types import Features, FloatArray, IntArray


class TorchAnswers:
    """A network that answers questions, in evaluation mode, on any device.

    Args:
        network: The network.
    """

    name = "torch"

    def __init__(self, network: AnswerNetwork) -> None:
        self.network = network.eval()

    @torch.inference_mode()
    def answer(
        self, tokens: IntArray, lengths: IntArray, features: Features[Any]
    ) -> tuple[FloatArray, FloatArray | None]:
        """Answer questions, one about each photo; see :meth:`captioner.answers.onnx.OnnxAnswers.answer`."""
        device = self.network.output.weight.device
        seen = Features(self._here(features.vector), self._here(features.grid), features.rows, features.cols)
        logits, weights = self.network(torch.from_numpy(tokens).to(device), torch.from_numpy(lengths).to(device), seen)
        probabilities = logits.float().softmax(dim=1).cpu().numpy()
        return probabilities, None if weights is None else weights.float().cpu().numpy()

    def _here(self, value: Any) -> Any:
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        return None if tensor is None else tensor.to(self.network.output.weight.device)
