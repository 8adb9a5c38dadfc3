"""Several encoders of a kind, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from captioner.config import EncoderConfig
from captioner.encoders.base import Encoder
from captioner.errors import ConfigError
from captioner.types import Features


class BranchedEncoder(Encoder):
    """Encoders whose first stages are the same network, which an image passes once; the later ones are their own.

    What they see stands one after the other in the channels of vector and grid: those of branch k begin at ``k * P``
    and ``k * D``. It learns as any encoder does; pretrained weights are for its branches, before they are joined.

    Args:
        config: Of all of them: how many there are, and the first stage that is their own.
        encoders: What becomes its branches; the shared stages are those of the first.

    Raises:
        ConfigError: If there is no such stage.
    """

    def __init__(self, config: EncoderConfig, encoders: Sequence[Encoder]) -> None:
        first = encoders[0]
        cut = _position(first, config.branch_stage)
        super().__init__(config, first.trunk[:cut], 0)
        self._first = (first,)  # in a tuple, a module is not registered as a part; it knows how to enter and to leave
        self._cut = cut
        self.stride = first.stride  # type: ignore[misc]  # of this kind of encoder
        self.vector_size = len(encoders) * first.vector_size
        self.grid_size = None if first.grid_size is None else len(encoders) * first.grid_size
        self.tails = nn.ModuleList([encoder.trunk[cut:] for encoder in encoders])
        self.heads = nn.ModuleList([encoder.head for encoder in encoders if encoder.head is not None])

    @property
    def kinds(self) -> list[type]:
        """The classes whose code makes its features, those of a branch too."""
        return list(dict.fromkeys([*super().kinds, *self._first[0].kinds]))

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return the layers of each stage, those of all branches together."""
        starts, tails = self._first[0].starts, [list(tail) for tail in self._tails()]
        ends = [*(start for _, start in starts[1:]), self._cut + len(tails[0])]
        parts: dict[str, list[nn.Module]] = {}
        for (name, start), end in zip(starts, ends, strict=True):
            own = slice(max(start - self._cut, 0), max(end - self._cut, 0))
            parts[name] = [*self.trunk[start:end], *(layer for tail in tails for layer in tail[own])]
        if self.heads:
            parts.setdefault(self._first[0].head_stage, []).extend(self.heads)
        return parts

    def features(self, pixels: Tensor) -> Features:
        """Encode pixels whose sides fit."""
        first = self._first[0]
        shared = self.trunk(first.enter(pixels))
        heads: Sequence[nn.Module | None] = [*self.heads] or [None] * len(self.tails)
        seen = [
            self.features_of(first.leave(tail(shared)), head) for tail, head in zip(self._tails(), heads, strict=True)
        ]
        grids = [one.grid for one in seen if one.grid is not None]
        return Features(
            vector=torch.cat([one.vector for one in seen], dim=1),
            grid=torch.cat(grids, dim=2) if grids else None,
            rows=seen[0].rows,
            cols=seen[0].cols,
        )

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:  # noqa: ARG002 - there are none for it
        """Refuse pretrained weights, which are for one branch.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            f"encoder branches is {self.config.branches}: branches are trained one by one and then joined; "
            "start from a checkpoint that has them"
        )

    def _tails(self) -> list[nn.Sequential]:
        return cast("list[nn.Sequential]", list(self.tails))


def first_difference(encoders: Sequence[Encoder]) -> str | None:
    """Return the first stage in which encoders of a kind differ from the first of them; ``None`` if they are equal."""
    first, *others = (encoder.parts() for encoder in encoders)
    for stage, layers in first.items():
        if any(not _equal(layers, other[stage]) for other in others):
            return stage
    return None


def _equal(ours: Sequence[nn.Module], theirs: Sequence[nn.Module]) -> bool:
    pairs = zip(_weights(ours), _weights(theirs), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def _weights(layers: Sequence[nn.Module]) -> Iterator[Tensor]:
    return (value for layer in layers for value in layer.state_dict().values())


def _position(encoder: Encoder, stage: str) -> int:
    """Return how many layers of the trunk come before a stage."""
    starts = dict(encoder.starts)
    if stage and stage not in starts:
        raise ConfigError(
            f"{encoder.config.name} has no stage {stage!r} to branch at; choose one of: {', '.join(starts)}"
        )
    return starts[stage] if stage else 0
