"""Cells that are told of the image as one vector."""

from torch import Tensor

from captioner.config import DecoderConfig
from captioner.decoders.base import SingleDecoder
from captioner.stack import CellStack, StackMemory, StackState
from captioner.types import DecoderRun, DecoderStep, Features


class ConditionedDecoder(SingleDecoder[StackMemory, StackState]):
    """A stack of cells that reads words, and the image vector in one of three ways; it does not attend.

    With the image at every step it is the network of the Stanford lectures, ``h = tanh(W_xh x + W_hh h + W_ih v)`` for
    the vanilla cell; with the image as the first input it is "Show and Tell" (Vinyals et al. 2015). Without an image
    it is a language model (Mikolov et al. 2010).
    """

    attends = False

    def __init__(self, config: DecoderConfig, vector_size: int, grid_size: int, vocabulary_size: int) -> None:
        super().__init__(config, vector_size, grid_size, vocabulary_size)
        self.language = CellStack(config, config.embedding_size, config.hidden_size)

    def prepare(self, features: Features) -> StackMemory:
        """Project the vector, and compute what it adds to the cells or starts them with."""
        return self.language.prepare(self._image(features))

    def prepare_nothing(self, images: int) -> StackMemory:
        """Return the memory of B images that say nothing, with which the decoder is a plain language model."""
        return StackMemory(images)

    def begin(self, memory: StackMemory, rows_per_image: int = 1) -> StackState:
        """Return the state before the first step, for ``B * rows_per_image`` rows."""
        return self.language.begin(memory, rows_per_image)

    def step(self, tokens: Tensor, memory: StackMemory, state: StackState) -> DecoderStep[StackState]:
        """Read one token per row and score the next."""
        output, state = self.language(self.language.read(self._embed(tokens), memory), state)
        return DecoderStep(self._score(output), None, state)

    def teacher_force(self, tokens: Tensor, memory: StackMemory, state: StackState) -> DecoderRun[StackState]:
        """Read whole captions; nothing depends on the logits, so that torch's fused layers can do it."""
        output, state = self.language.run(self._embed(tokens), memory, state)
        return DecoderRun(self._score(output), None, state)
