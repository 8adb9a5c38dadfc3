"""Several decoders that write one caption together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from captioner.decoders.base import Decoder, SingleDecoder
from captioner.types import DecoderMemory, DecoderRun, DecoderState, DecoderStep, Features


@dataclass(frozen=True)
class EnsembleMemory:
    """What every member needs of the images."""

    members: tuple[DecoderMemory, ...]

    def select(self, images: Tensor) -> "EnsembleMemory":
        """Return the memory of the given images ``[B']``."""
        return EnsembleMemory(tuple(member.select(images) for member in self.members))


@dataclass(frozen=True)
class EnsembleState:
    """The state of every member."""

    members: tuple[DecoderState, ...]

    def select(self, rows: Tensor) -> "EnsembleState":
        """Return the state of the given rows ``[R']``."""
        return EnsembleState(tuple(member.select(rows) for member in self.members))

    def detach(self) -> "EnsembleState":
        """Return the state cut off from what made it."""
        return EnsembleState(tuple(member.detach() for member in self.members))


class Ensemble(Decoder[EnsembleMemory, EnsembleState]):
    """Decoders of a kind that read the same words, and score the next one by the mean of their probabilities.

    At every step ``p(w) = (p_1(w) + ... + p_M(w)) / M``, whose logarithms are its logits; it looks where they look in
    the mean. Members that were trained apart err apart.

    Args:
        members: M decoders of the same configuration and vocabulary.
        reads: For each of them the branch of the encoder that it sees with; empty if the encoder has but one.
    """

    def __init__(self, members: Sequence[SingleDecoder[Any, Any]], reads: Sequence[int] = ()) -> None:
        super().__init__(members[0].config)
        self.reads = tuple(reads) or (0,) * len(members)
        self.members = nn.ModuleList(members)
        self.attends = members[0].attends

    def prepare(self, features: Features) -> EnsembleMemory:
        """Return what each member needs of the images."""
        branches = max(self.reads) + 1
        parts = [features.part(branch, branches) for branch in range(branches)]
        pairs = zip(self._each(), self.reads, strict=True)
        return EnsembleMemory(tuple(member.prepare(parts[branch]) for member, branch in pairs))

    def begin(self, memory: EnsembleMemory, rows_per_image: int = 1) -> EnsembleState:
        """Return the state before the first step, for ``B * rows_per_image`` rows."""
        pairs = zip(self._each(), memory.members, strict=True)
        return EnsembleState(tuple(member.begin(own, rows_per_image) for member, own in pairs))

    def step(self, tokens: Tensor, memory: EnsembleMemory, state: EnsembleState) -> DecoderStep[EnsembleState]:
        """Read one token per row and score the next."""
        triples = zip(self._each(), memory.members, state.members, strict=True)
        steps = [member.step(tokens, own, before) for member, own, before in triples]
        after = EnsembleState(tuple(step.state for step in steps))
        return DecoderStep(_mixed([step.logits for step in steps]), _mean([step.attention for step in steps]), after)

    def teacher_force(self, tokens: Tensor, memory: EnsembleMemory, state: EnsembleState) -> DecoderRun[EnsembleState]:
        """Let every member read whole captions."""
        triples = zip(self._each(), memory.members, state.members, strict=True)
        runs = [member.teacher_force(tokens, own, before) for member, own, before in triples]
        after = EnsembleState(tuple(run.state for run in runs))
        return DecoderRun(_mixed([run.logits for run in runs]), _mean([run.attention for run in runs]), after)

    def _each(self) -> list[SingleDecoder[Any, Any]]:
        return cast("list[SingleDecoder[Any, Any]]", list(self.members))


def members_of(decoder: Decoder[Any, Any]) -> list[SingleDecoder[Any, Any]]:
    """Return the members of an ensemble, or a decoder that is none as its only member."""
    return cast("list[SingleDecoder[Any, Any]]", [*decoder.members] if isinstance(decoder, Ensemble) else [decoder])


def _mixed(logits: Sequence[Tensor]) -> Tensor:
    """Return the logarithm of the mean of the probabilities ``[..., V]``, in float32."""
    each = torch.stack([values.float().log_softmax(dim=-1) for values in logits])
    return each.logsumexp(dim=0) - math.log(len(logits))


def _mean(attention: Sequence[Tensor | None]) -> Tensor | None:
    """Return the mean of the weights ``[..., L]``; they all attend, or none does."""
    maps = [weights for weights in attention if weights is not None]
    return torch.stack(maps).mean(dim=0) if maps else None
