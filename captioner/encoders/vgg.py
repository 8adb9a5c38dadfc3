"""VGG-16 (Simonyan and Zisserman 2015) without its classifier."""

from collections import OrderedDict

from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from captioner.config import EncoderConfig
from captioner.encoders.base import Encoder

CHANNELS = 512
UNITS = 4096
SIDE = 7  # of the pooled map that fc6 reads


class VGG16(Encoder):
    """The map of ``conv5_3`` as the grid (14 x 14 x 512 for 224 pixels), and ``fc7`` (4096) as the vector.

    Both are taken after their ReLU. An image of another size than 224 is pooled to the 7 x 7
    cells that ``fc6`` reads. With ``outputs="grid"`` the two fully connected layers are not built, which saves 120 of
    134 million weights. A 3 x 3 convolution of stride 1 and a 2 x 2 pool keep cells centred by themselves.
    """

    stride = 16
    starts = (("block1", 0), ("block2", 5), ("block3", 10), ("block4", 17), ("block5", 24))
    head_stage = "fc"

    def __init__(self, config: EncoderConfig) -> None:
        trunk = make_layers(cfgs["D"])[:-1]  # the last pool belongs to the head
        for module in trunk:
            if isinstance(module, nn.Conv2d):  # without norms, torch's own start would let 13 layers fade to nothing
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(config, trunk, CHANNELS, None if config.outputs == "grid" else _head(), UNITS)


def _head() -> nn.Sequential:
    """Return all from the last pool to fc7's ReLU; "classifier" holds what torchvision keeps under that name."""
    layers = OrderedDict[str, nn.Module]()
    layers["pool"] = nn.MaxPool2d(2)
    layers["resize"] = nn.AdaptiveAvgPool2d(SIDE)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Sequential(
        nn.Linear(CHANNELS * SIDE * SIDE, UNITS), nn.ReLU(), nn.Dropout(), nn.Linear(UNITS, UNITS), nn.ReLU()
    )
    return nn.Sequential(layers)
