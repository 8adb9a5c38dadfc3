"""Captions that a decoder writes itself while it learns, with the log-probabilities that gradients flow through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captioner.decoders import Decoder
from captioner.decoding import DecodingOptions, SpecialTokens, search
from captioner.types import Features

IMPOSSIBLE = -1e9


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

    def sample(self, memory: Any, images: int, each: int, temperature: float = 1.0) -> Rollout:
        """Draw some captions of each of B images at random.

        Args:
            memory: Of the images.
            images: B.
            each: Captions per image.
            temperature: What the decoder's log-probabilities are divided by; the rollout's are of that policy too.
        """
        return self._write(memory, images, each, temperature)

    def beam(self, features: Features, memory: Any, images: int, each: int) -> Rollout:
        """Take the best captions of each of B images by beam search, as the decoder finds them without dropout.

        Args:
            features: Of the images.
            memory: Of the images, with which the captions are read to know their log-probabilities.
            images: B.
            each: Captions per image, and beams. A search that finds fewer has its last one counted several times.
        """
        options = DecodingOptions(beam_size=each, num_captions=each, max_length=self.max_length)
        training = self.decoder.training
        self.decoder.eval()
        with torch.no_grad():
            found = search(self.decoder, self.decoder.prepare(features), images, self.special, options)
        self.decoder.train(training)
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

    @torch.no_grad()
    def greedy(self, memory: Any, images: int) -> Rollout:
        """Take the most probable token at every step, for each of B images."""
        return self._write(memory, images, 1, None)

    def _write(self, memory: Any, images: int, each: int, temperature: float | None) -> Rollout:
        """Write captions word by word, drawn at a temperature, or the most probable words if there is none."""
        state = self.decoder.begin(memory, each)
        read = torch.full((images * each,), self.special.bos_id, device=self.decoder.device)
        banned = torch.tensor(self.special.banned, device=self.decoder.device)
        alive = torch.ones_like(read, dtype=torch.bool)
        columns = []
        for _ in range(self.max_length + 1):
            step = self.decoder.step(read, memory, state)
            state = step.state
            logits = step.logits.float() / (temperature or 1.0)
            log_probs = logits.index_fill(1, banned, IMPOSSIBLE).log_softmax(dim=1)  # [R, V]
            read = log_probs.argmax(dim=1) if temperature is None else _draw(log_probs)
            columns.append((read, log_probs.gather(1, read[:, None]).squeeze(1) * alive, alive))
            alive = alive & (read != self.special.eos_id)
            if not bool(alive.any()):
                break
        return Rollout(*(torch.stack(column, dim=1) for column in zip(*columns, strict=True)))


def _draw(log_probs: Tensor) -> Tensor:
    return torch.multinomial(log_probs.detach().exp(), 1).squeeze(1)
