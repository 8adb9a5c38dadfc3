"""The networks of timm (PyTorch Image Models, Wightman 2019) that are encoders, by timm's names for them.

This module needs the package timm, which the extra ``timm`` installs; nothing imports it before a network of timm is
asked for.
"""

import difflib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import timm
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.config import EncoderConfig
from captioner.encoders.base import CLASSIFIER, TIMM, Encoder
from captioner.encoders.timm_plan import FAILURES, Plan, plan
from captioner.errors import ConfigError
from captioner.types import Features

NEAR = 5  # names that an error offers


class TimmEncoder(Encoder):
    """A network of timm as it is: what it makes of an image before its classifier.

    The grid is what its ``forward_features`` gives, without class and register tokens; the vector is what its
    classifier reads, pooled and normed as timm does. With ``outputs="grid"`` the layers that only the classifier
    needs are left out, and the vector is the mean of the grid. Padding, strides and the sizes of image that it takes
    are its own. Convolutions that look half a cell to one side are centred as in :mod:`captioner.encoders.centred`, by
    a border of zeros around the image, where that can be read from their strides and the network takes other sizes.

    A stage is named by the pixels per cell of its maps ("stride16"), or, where all maps are of one size, by timm's name
    of its last layer ("blocks.7"). Weights go by timm's names.

    Args:
        config: Its name after "timm:" is one of timm's, with or without the tag of pretrained weights.

    Raises:
        ConfigError: If timm has no such network, if it makes no grid of equal cells, or if a padding or branches are
            asked for, which are timm's own business or not to be had.
    """

    trunk_prefix = ""

    def __init__(self, config: EncoderConfig) -> None:
        if config.padding == "same":
            raise ConfigError(f"encoder {config.name} pads as timm says; leave padding at 'symmetric'")
        if config.branches > 1:
            raise ConfigError(f"encoder branches is {config.branches}; {config.name} knows 1 alone")
        known = plan_of(config.name)
        network = known.build()
        gone = known.head - known.maps if config.outputs == "grid" else frozenset()
        for name in gone:
            setattr(network, name, nn.Identity())
        super().__init__(config, nn.Sequential(network), known.channels)
        if config.outputs != "grid":
            self.vector_size = known.vector_size
        self.stride = known.stride  # type: ignore[misc]  # of this network
        self.only_size = None if known.flexible else known.side
        self.left_out = (*CLASSIFIER, *(f"{name}." for name in (*known.classifier, *gone)))
        self._plan = known

    @property
    def network(self) -> Any:
        """Timm's module."""
        return self.trunk[0]

    @property
    def kinds(self) -> list[type]:
        """The classes whose code makes its features, timm's too."""
        return [*super().kinds, type(self.network)]

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return the layers of each stage; weights that belong to no layer, as positions do, are of the first."""
        parts: dict[str, list[nn.Module]] = {}
        for stage, paths in self._plan.stages:
            modules = [self.network.get_submodule(path) for path in paths]
            name = stage if any(True for one in modules for _ in one.parameters()) or not parts else list(parts)[-1]
            parts.setdefault(name, []).extend(modules)
        if loose := list(self._loose()):
            next(iter(parts.values())).append(nn.ParameterList(loose))
        return parts

    def _loose(self) -> Iterator[nn.Parameter]:
        layers = tuple(f"{path}." for _, paths in self._plan.stages for path in paths)
        return (value for name, value in self.network.named_parameters() if not name.startswith(layers))

    def features(self, pixels: Tensor) -> Features:
        """Encode pixels whose sides fit."""
        found = self.leave(self.network.forward_features(self.enter(pixels)))
        rows, cols = (side // self.stride for side in pixels.shape[2:])
        grid = self._plan.cells(found)  # [B, L, D]
        if self.config.outputs == "grid":
            vector = grid.mean(dim=1)
        else:
            vector = self.network.forward_head(found, pre_logits=True)
        if self.config.outputs == "vector":
            return Features(vector=vector, grid=None, rows=0, cols=0)
        return Features(vector=vector, grid=grid, rows=rows, cols=cols)

    def enter(self, pixels: Tensor) -> Tensor:
        """Return the image with the border that centres its cells."""
        before, after = self._plan.border
        return F.pad(pixels, (before, after, before, after)) if before else pixels

    def leave(self, maps: Tensor) -> Tensor:
        """Return the maps without the row and the column that the border added."""
        if not self._plan.border[0]:
            return maps
        return maps[:, :, 1:, 1:] if self._plan.shift > 0 else maps[:, :, :-1, :-1]

    def _pretrained_name(self, name: str) -> str:
        """Return timm's name of one of our weights."""
        return name.removeprefix("trunk.0.")


@lru_cache(maxsize=64)
def plan_of(name: str) -> Plan:
    """Return what a network does with an image, found by passing a shape through it.

    Args:
        name: With its prefix "timm:".

    Raises:
        ConfigError: If timm has no such network, or it makes no grid of equal cells.
    """
    own = _own_name(name)
    try:
        return plan(own)
    except FAILURES as error:
        raise ConfigError(f"encoder {name} makes no grid of equal cells, which captions need: {error}") from None


def own_image(name: str) -> dict[str, Any]:
    """Return the size, mean and std of the images that a network was made for; the size is a multiple of its stride.

    Raises:
        ConfigError: As :func:`plan_of`.
    """
    return {"size": plan_of(name).side, **{key: list(_settings(name)[key]) for key in ("mean", "std")}}


def downloaded(name: str) -> dict[str, Tensor]:
    """Return timm's own pretrained weights of a network, which timm downloads into its own cache.

    Raises:
        ConfigError: If it has none, or they cannot be downloaded.
    """
    known = plan_of(name)
    if not any(_settings(name).get(key) for key in ("hf_hub_id", "url", "file")):
        raise ConfigError(f"timm has no weights for {name}; encoder_weights must name a file, or be 'random'")
    try:
        network = known.build(pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:  # no network; a file that is not what its name says
        raise ConfigError(
            f"timm's weights for {name} cannot be downloaded: {error}; encoder_weights may name a file, or be 'random'"
        ) from None
    return dict(network.state_dict())


def _settings(name: str) -> dict[str, Any]:
    settings: Any = timm.get_pretrained_cfg(_own_name(name), allow_unregistered=False)
    return dict(settings.to_dict())


def _own_name(name: str) -> str:
    """Return timm's name of a network.

    Raises:
        ConfigError: If it has none such; the message lists near ones.
    """
    own = name.removeprefix(TIMM)
    if own in timm.list_pretrained() or (timm.is_model(own) and "." not in own):
        return own
    known = timm.list_models() if not timm.is_model(own) else timm.list_pretrained(f"{own.partition('.')[0]}.*")
    near = difflib.get_close_matches(own, known, n=NEAR, cutoff=0.5)
    hint = f"did you mean {', '.join(TIMM + one for one in near)}?" if near else "timm.list_models() has all"
    raise ConfigError(f"timm {timm.__version__} has no network {own!r}; {hint}")
