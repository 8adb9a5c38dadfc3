"""What every encoder offers, and what all of them share."""

from collections.abc import Mapping
from typing import ClassVar, Self

from torch import Tensor, nn

from captioner.config import EncoderConfig
from captioner.errors import ConfigError
from captioner.types import Features

SAME_PADDED = (
    "efficientnet_b0",
    "efficientnet_lite0",
    "efficientnet_lite2",
    "mobilenet_v2",
    "mobilenet_v3_large",
)  # the encoders that accept padding "same"
TIMM = "timm:"  # what the names of timm's networks begin with
CLASSIFIER = ("classifier.", "fc.")  # where torchvision keeps the weights that tell ImageNet's classes apart
NAMED = 5  # names that an error shows before it only counts


class Encoder(nn.Module):
    """A network from pixels to features: a trunk that makes the grid, and perhaps a head that makes the vector of it.

    A subclass says which layers those are; this class makes features of them, loads their weights, and chooses which
    of them learn. A fresh encoder behaves as any module of torch does: all of it learns, and its batch norms follow the
    batches in training mode. A training that learns the decoder alone need not care; one that learns the encoder too
    calls :meth:`fine_tune`.

    Args:
        config: Its name, the padding of its convolutions, and which outputs to make.
        trunk: From pixels ``[B, 3, H, W]`` to maps ``[B, D, rows, cols]``, layer by layer.
        channels: D, the channels of the trunk's last map.
        head: From those maps to the vector ``[B, P]``; ``None`` where the vector is the mean of the grid.
        head_size: P, the length of what the head makes.

    Attributes:
        vector_size: P, the length of the image vector, which every encoder has. It is that of the head, and D where
            there is none: the vector is then the mean of the grid.
        grid_size: D, the channels of the grid; ``None`` if ``config.outputs`` is "vector", and there is no grid.
        only_size: Height and width of the images that it takes, in pixels; ``None`` if it takes all multiples of its
            stride.
        left_out: With what the names of weights begin that it has no use for.
        stride: Pixels per grid cell along each side.
        starts: The stages from pixels to features, each with the position of its first layer in the trunk.
        head_stage: The stage that the head belongs to.
        trunk_prefix: What stands before the names of the trunk's weights in torchvision's files.

    Raises:
        ConfigError: If the padding is not one that this encoder knows.
    """

    vector_size: int
    grid_size: int | None
    only_size: int | None = None
    left_out: tuple[str, ...] = CLASSIFIER
    stride: ClassVar[int]
    starts: ClassVar[tuple[tuple[str, int], ...]]
    head_stage: ClassVar[str] = ""
    trunk_prefix: ClassVar[str] = "features."

    def __init__(
        self,
        config: EncoderConfig,
        trunk: nn.Sequential,
        channels: int,
        head: nn.Module | None = None,
        head_size: int = 0,
    ) -> None:
        super().__init__()
        if config.padding == "same" and config.name not in SAME_PADDED:
            allowed = ", ".join(SAME_PADDED)
            raise ConfigError(f"encoder {config.name} knows padding 'symmetric' alone; {allowed} know 'same' too")
        self.config = config
        self.trunk = trunk
        self.head = head
        self.vector_size = channels if head is None else head_size
        self.grid_size = None if config.outputs == "vector" else channels
        self._frozen: tuple[str, ...] = ()
        self._freeze_norms = False

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages in order from pixels to features; every weight belongs to exactly one."""
        return tuple(self.parts())

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return the layers of each stage."""
        ends = [*(start for _, start in self.starts[1:]), len(self.trunk)]
        layers = list(self.trunk)
        parts = {name: layers[start:end] for (name, start), end in zip(self.starts, ends, strict=True)}
        if self.head is not None:
            parts.setdefault(self.head_stage, []).append(self.head)
        return parts

    @property
    def kinds(self) -> list[type]:
        """The classes whose code makes its features."""
        return [kind for kind in type(self).__mro__ if kind.__module__.split(".")[0] == __name__.split(".")[0]]

    def forward(self, pixels: Tensor) -> Features:
        """Encode normalised pixels ``[B, 3, H, W]``; H and W are multiples of ``stride``.

        Each cell of the grid is centred on the part of the image that it stands for, so that attention over the grid
        can be drawn over the image.

        Raises:
            ConfigError: If a side of the image is no multiple of the stride, or not one that the encoder takes.
        """
        height, width = pixels.shape[2:]
        if height % self.stride or width % self.stride:
            raise ConfigError(f"pixels are {height} x {width}; {self.config.name} needs multiples of {self.stride}")
        if self.only_size not in (None, height) or self.only_size not in (None, width):
            only = f"{self.only_size} x {self.only_size}"
            raise ConfigError(f"pixels are {height} x {width}; {self.config.name} takes {only} alone")
        return self.features(pixels)

    def features(self, pixels: Tensor) -> Features:
        """Encode pixels whose sides fit."""
        maps = self.leave(self.trunk(self.enter(pixels)))
        return self.features_of(maps, self.head)

    def features_of(self, maps: Tensor, head: nn.Module | None) -> Features:
        """Return what a map ``[B, D, rows, cols]`` says, its cells as they are and all of them together."""
        grid = maps.flatten(2).transpose(1, 2)  # [B, L, D]
        vector = grid.mean(dim=1) if head is None else head(maps)
        if self.config.outputs == "vector":
            return Features(vector=vector, grid=None, rows=0, cols=0)
        return Features(vector=vector, grid=grid, rows=maps.shape[2], cols=maps.shape[3])

    def enter(self, pixels: Tensor) -> Tensor:
        """Return pixels as the trunk wants them."""
        return pixels

    def leave(self, maps: Tensor) -> Tensor:
        """Return the cells of the trunk's last map that stand for parts of the image, each centred on its part."""
        return maps

    def fine_tune(self, stage: str | None, freeze_norms: bool = True) -> None:
        """Choose what learns: the weights of a stage and of all after it. The stages before it stay in evaluation mode.

        Args:
            stage: The first stage that learns, one of ``stages``; ``None`` freezes the whole encoder.
            freeze_norms: Whether the batch norms that learn keep to the statistics that they were pretrained with, in
                training mode too, as befits small batches; their scale and shift learn either way.

        Raises:
            ConfigError: If there is no such stage.
        """
        parts = self.parts()
        if stage is not None and stage not in parts:
            raise ConfigError(f"{self.config.name} has no stage {stage!r}; choose one of: {', '.join(parts)}")
        self._frozen = self.stages if stage is None else self.stages[: self.stages.index(stage)]
        self._freeze_norms = freeze_norms
        for name, modules in parts.items():
            for module in modules:
                module.requires_grad_(name not in self._frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; what :meth:`fine_tune` froze stays in evaluation mode."""
        super().train(mode)
        parts = self.parts()
        held = [module for name in self._frozen for module in parts[name]]
        if self._freeze_norms:
            held += [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        for module in held:
            module.eval()
        return self

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Take over weights named as torchvision names them; those of its classifier are left out.

        Raises:
            ConfigError: If a weight is missing, has another shape, or belongs to a larger network.
        """
        ours = self.state_dict()
        names = {self._pretrained_name(name): name for name in ours}
        problems = [
            *_listed("missing", [name for name in names if name not in weights and not _is_counter(name)]),
            *_listed(
                "of another shape",
                [
                    f"{name} {[*weights[name].shape]} (must be {[*ours[our].shape]})"
                    for name, our in names.items()
                    if name in weights and weights[name].shape != ours[our].shape
                ],
            ),
            *_listed("unknown", [name for name in weights if name not in names and not name.startswith(self.left_out)]),
        ]
        if problems:
            raise ConfigError(f"these are not pretrained weights for {self.config.name}: {'; '.join(problems)}")
        self.load_state_dict({our: weights.get(name, ours[our]) for name, our in names.items()})

    def pretrained_state(self) -> dict[str, Tensor]:
        """Return all weights under torchvision's names; the inverse of :meth:`load_pretrained`."""
        return {self._pretrained_name(name): value for name, value in self.state_dict().items()}

    def _pretrained_name(self, name: str) -> str:
        """Return torchvision's name of one of our weights; a head has torchvision's layers under its own names."""
        part, rest = name.split(".", 1)
        return self.trunk_prefix + rest if part == "trunk" else rest


def _is_counter(name: str) -> bool:
    """Tell whether it is a batch norm's count of batches, which old files lack and which nothing here reads."""
    return name.endswith(".num_batches_tracked")


def _listed(what: str, names: list[str]) -> list[str]:
    """Return ``what`` with its first names, or nothing if there are none."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return [f"{what}: {', '.join(names[:NAMED])}{more}"] if names else []
