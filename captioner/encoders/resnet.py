"""Residual networks (He et al. 2016) without their classifier."""

from collections import OrderedDict
from typing import ClassVar

from torch import nn
from torchvision.models import get_model

from captioner.config import EncoderConfig
from captioner.encoders.centred import CentredEncoder


class ResNet50(CentredEncoder):
    """The map of ``layer4`` as the grid (7 x 7 x 2048 for 224 pixels), and its mean as the vector.

    It has no padding "same": its shortcuts are 1 x 1 convolutions of stride 2, which take every second pixel from the
    first one on, as symmetric padding centres the branches that they are added to, whereas "same" would centre those
    one pixel further.
    """

    starts = (("stem", 0), ("layer1", 4), ("layer2", 5), ("layer3", 6), ("layer4", 7))
    trunk_prefix = ""
    network: ClassVar[str] = "resnet50"

    def __init__(self, config: EncoderConfig) -> None:
        layers = list(get_model(self.network, weights=None).named_children())
        super().__init__(config, nn.Sequential(OrderedDict(layers[:-2])), channels=2048)  # no avgpool, no fc


class ResNet101(ResNet50):
    """As :class:`ResNet50`, with 23 blocks in ``layer3`` in place of 6."""

    network = "resnet101"
