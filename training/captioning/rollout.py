"""Captions that a decoder writes itself while it learns, with the log-probabilities that gradients flow through."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captioner.decoders import Decoder
from captioner.decoding import DecodingOptions, SpecialTokens, search
from captioner.runtimes.torch import TorchSteps
from captioner.types import Features
from training.inputs.chance import draw
from training.losses import IMPOSSIBLE


@dataclass(frozen=True)
class Rollout:
    """R captions, grouped by image.

    Attributes:
        tokens: ``[R, T]`` ids; what follows ``<END>`` means nothing.
        log_probs: ``[R, T]``, natural-log probabilities of the tokens, zero after ``<END>``.
        written: ``[R, T]``, true up to ``<END>`` and with it.
    """

    tokens: Tensor
    log_probs: Tensor
    written: Tensor

    def captions(self) -> list[list[int]]:
        """Return the token ids of each caption; one that was cut lacks ``<END>``."""
        lengths = self.written.sum(dim=1).tolist()
        return [row[:length] for row, length in zip(self.tokens.tolist(), lengths, strict=True)]


class Writer:
    """Writes captions of a batch of images with a decoder in whatever mode it is in.

    In training mode dropout acts, and the same units are dropped for what is drawn and for what learns from it.

    Args:
        decoder: The decoder.
        special: The ids of the special tokens; banned ones are never written.
        max_length: Most tokens before ``<END>``; a caption that goes on is cut.
    """

    def __init__(self, decoder: Decoder[Any, Any], special: SpecialTokens, max_length: int) -> None:
        self.decoder = decoder
        self.special = special
        self.max_length = max_length

    def sample(
        self, memory: Any, images: int, each: int, temperature: float = 1.0, chance: Tensor | None = None
    ) -> Rollout:
        """Draw some captions of each of B images at random.

        Args:
            memory: Of the images.
            images: B.
            each: Captions per image.
            temperature: What the decoder's log-probabilities are divided by; the rollout's are of that policy too.
            chance: ``[images * each, max_length + 1]``, what each token is drawn by, from 0 up to but not including 1;
                ``None`` takes new random numbers.
        """
        if chance is None:
            chance = torch.rand(images * each, self.max_length + 1)
        return self._write(memory, images, each, temperature, chance)

    def beam(self, features: Features, memory: Any, images: int, each: int) -> Rollout:
        """Take the best captions of each of B images by beam search, as the decoder finds them without dropout.

        Args:
            features: Of the images.
            memory: Of the images, with which the captions are read to know their log-probabilities.
            images: B.
            each: Captions per image, and beams. A search that finds fewer has its last one counted several times.
        """
        options = DecodingOptions(beam_size=each, num_captions=each, max_length=self.max_length, consensus=0.0)
        with self._without_dropout():
            found = search(TorchSteps(self.decoder), self.decoder.prepare(features), images, self.special, options)
        rows = [hypotheses[min(row, len(hypotheses) - 1)].tokens for hypotheses in found for row in range(each)]
        return self._read(rows, memory, each)

    def _read(self, rows: Sequence[Sequence[int]], memory: Any, each: int) -> Rollout:
        """Return captions that are given, with their log-probabilities."""
        longest, device = max(map(len, rows)), self.decoder.device
        tokens = torch.tensor([[*row, *[self.special.eos_id] * (longest - len(row))] for row in rows], device=device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        written = torch.arange(longest, device=device) < lengths[:, None]
        start = torch.full_like(tokens[:, :1], self.special.bos_id)
        inputs = torch.cat([start, tokens[:, :-1]], dim=1)
        run = self.decoder.teacher_force(inputs, memory, self.decoder.begin(memory, each))
        log_probs = run.logits.float().log_softmax(dim=2).gather(2, tokens[:, :, None]).squeeze(2)
        return Rollout(tokens, log_probs * written, written)

    def greedy(self, features: Features, images: int) -> Rollout:
        """Take the most probable token at every step, for each of B images, as the decoder finds it without dropout.

        The images are prepared anew: what they were prepared to while the decoder learns may have lost units.
        """
        with self._without_dropout():
            return self._write(self.decoder.prepare(features), images, 1)

    @contextmanager
    def _without_dropout(self) -> Iterator[None]:
        """Let the decoder write as it does when it does not learn."""
        training = self.decoder.training
        self.decoder.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.decoder.train(training)

    def _write(
        self, memory: Any, images: int, each: int, temperature: float = 1.0, chance: Tensor | None = None
    ) -> Rollout:
        """Write captions word by word, drawn by chance ``[R, max_length + 1]``, or the most probable words without."""
        state = self.decoder.begin(memory, each)
        read = torch.full((images * each,), self.special.bos_id, device=self.decoder.device)
        banned = torch.tensor(self.special.banned, device=self.decoder.device)
        alive = torch.ones_like(read, dtype=torch.bool)
        columns = []
        draws = None if chance is None else chance.to(read.device)
        for position in range(self.max_length + 1):
            step = self.decoder.step(read, memory, state)
            state = step.state
            logits = step.logits.float() / temperature
            log_probs = logits.index_fill(1, banned, IMPOSSIBLE).log_softmax(dim=1)  # [R, V]
            read = log_probs.argmax(dim=1) if draws is None else draw(log_probs.detach().exp(), draws[:, position])
            columns.append((read, log_probs.gather(1, read[:, None]).squeeze(1) * alive, alive))
            alive = alive & (read != self.special.eos_id)
            if not bool(alive.any()):
                break
        return Rollout(*(torch.stack(column, dim=1) for column in zip(*columns, strict=True)))
