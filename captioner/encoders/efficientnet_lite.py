"""EfficientNet-Lite (Google 2020, after Tan and Le 2019) without its classifier."""

import math
from functools import partial
from typing import ClassVar, NamedTuple

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from captioner.config import EncoderConfig
from captioner.encoders.centred import CentredEncoder

STEM, HEAD = 32, 1280  # channels of the first and the last convolution, the same at every size
DIVISOR = 8  # channels of blocks are multiples of it
convolution = partial(
    Conv2dNormActivation, norm_layer=partial(nn.BatchNorm2d, eps=1e-3), activation_layer=nn.ReLU6, inplace=True
)


class Group(NamedTuple):
    """Blocks of the same width, one after the other; the first of them has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


GROUPS = (  # of EfficientNet-B0, which all sizes are made from
    Group(1, 3, 1, 1, 16),
    Group(2, 3, 2, 6, 24),
    Group(2, 5, 2, 6, 40),
    Group(3, 3, 2, 6, 80),
    Group(3, 5, 1, 6, 112),
    Group(4, 5, 2, 6, 192),
    Group(1, 3, 1, 6, 320),
)
STAGES = (("stride2", 0), ("stride4", 1), ("stride8", 2), ("stride16", 3), ("stride32", 5))  # and their first groups


class InvertedResidual(nn.Module):
    """A block of MobileNetV2 (Sandler et al. 2018): expand, convolve each channel, project; added to its input."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        expand = [convolution(inputs, inner, 1)] if expansion > 1 else []
        depthwise = convolution(inner, inner, kernel, stride, groups=inner)
        project = convolution(inner, outputs, 1, activation_layer=None)
        self.layers = nn.Sequential(*expand, depthwise, project)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps ``[B, outputs, H / stride, W / stride]`` of maps ``[B, inputs, H, W]``."""
        found: Tensor = self.layers(maps)
        return maps + found if self.adds else found


def scaled(width: float, depth: float) -> tuple[Group, ...]:
    """Return the groups of a larger network: all of them wider, all but the first and the last longer."""
    longer = [1.0, *[depth] * (len(GROUPS) - 2), 1.0]
    return tuple(
        group._replace(blocks=math.ceil(group.blocks * factor), channels=_rounded(group.channels * width))
        for group, factor in zip(GROUPS, longer, strict=True)
    )


def _rounded(channels: float) -> int:
    """Return the nearest multiple of the divisor, but never less than nine tenths of what is asked for."""
    rounded = max(DIVISOR, int(channels + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < 0.9 * channels else rounded


def _starts(groups: tuple[Group, ...]) -> tuple[tuple[str, int], ...]:
    """Return the stages and the position of their first layer; the stem belongs to the first."""
    return tuple((stage, 1 + sum(group.blocks for group in groups[:first]) if first else 0) for stage, first in STAGES)


def _timm_names(ours: str, timms: str, expansion: int) -> dict[str, tuple[str, str]]:
    """Return the parts of a block, each with timm's names of its convolution and its norm."""
    convolutions = ("conv_dw", "conv_pw") if expansion == 1 else ("conv_pw", "conv_dw", "conv_pwl")
    return {f"{ours}.layers.{k}": (f"{timms}.{name}", f"{timms}.bn{k + 1}") for k, name in enumerate(convolutions)}


class EfficientNetLite0(CentredEncoder):
    """The last convolution's map as the grid (7 x 7 x 1280 for 224 pixels), and its mean as the vector.

    Lite networks are EfficientNets for phones: no squeeze-and-excitation, ReLU6 in place of SiLU, and a first and a
    last convolution that do not grow with the network. Pretrained weights go by timm's names
    (``tf_efficientnet_lite0``); they come from TensorFlow, hence want padding "same".

    A stage is named by the pixels per cell of its maps.
    """

    groups: ClassVar[tuple[Group, ...]] = GROUPS
    starts = _starts(GROUPS)

    def __init__(self, config: EncoderConfig) -> None:
        layers: list[nn.Module] = [convolution(3, STEM, 3, 2)]
        names = {"trunk.0": ("conv_stem", "bn1")}  # our parts, each with timm's names of its convolution and its norm
        channels = STEM
        for index, group in enumerate(self.groups):
            for block in range(group.blocks):
                stride = 1 if block else group.stride
                names |= _timm_names(f"trunk.{len(layers)}", f"blocks.{index}.{block}", group.expansion)
                layers.append(InvertedResidual(channels, group.channels, group.kernel, stride, group.expansion))
                channels = group.channels
        self._timm_names = {**names, f"trunk.{len(layers)}": ("conv_head", "bn2")}
        layers.append(convolution(channels, HEAD, 1))
        super().__init__(config, nn.Sequential(*layers), channels=HEAD)

    def _pretrained_name(self, name: str) -> str:
        """Return timm's name of one of our weights."""
        part, kind, weight = name.rsplit(".", 2)
        return f"{self._timm_names[part][int(kind)]}.{weight}"


class EfficientNetLite2(EfficientNetLite0):
    """As :class:`EfficientNetLite0`, a tenth wider and a fifth longer: 21 blocks, made for 260 pixels."""

    groups = scaled(width=1.1, depth=1.2)
    starts = _starts(groups)
