"""The networks of torchvision that are encoders, each without its classifier.

ConvNeXt-Tiny (Liu et al. 2022), EfficientNet-B0 (Tan and Le 2019), MobileNet V2 (Sandler et al. 2018) and V3 (Howard et
al. 2019), ResNet-50 and -101 (He et al. 2016), and VGG-16 (Simonyan and Zisserman 2015). They are built without
pretrained weights, which only training asks for.
"""

from collections import OrderedDict
from typing import ClassVar

from torch import nn
from torchvision.models import convnext_tiny, efficientnet_b0, get_model, mobilenet_v2, mobilenet_v3_large
from torchvision.models.vgg import cfgs, make_layers

from captioner.config import EncoderConfig
from captioner.encoders.base import Encoder
from captioner.encoders.centred import CentredEncoder

VGG_CHANNELS = 512
VGG_UNITS = 4096
VGG_SIDE = 7  # of the pooled map that fc6 reads


class ConvNeXtTiny(Encoder):
    """The last stage's map as the grid (7 x 7 x 768 for 224 pixels), and its normalised mean as the vector.

    The mean passes the layer norm that the classifier learnt to read it through: a few channels of the last map are far
    larger than all others, and would drown them. With ``outputs="grid"`` that norm is not built, and the vector is the
    plain mean. Patches that do not overlap keep cells centred by themselves.

    Stages that learn drop whole blocks at random in training mode (stochastic depth, Huang et al. 2016), as
    torchvision's own do.
    """

    stride = 32
    starts = (("stem", 0), ("stage1", 1), ("stage2", 2), ("stage3", 4), ("stage4", 6))
    head_stage = "stage4"

    def __init__(self, config: EncoderConfig) -> None:
        network = convnext_tiny(weights=None)
        head = OrderedDict[str, nn.Module](pool=nn.AdaptiveAvgPool2d(1), classifier=network.classifier[:2])
        super().__init__(config, network.features, 768, None if config.outputs == "grid" else nn.Sequential(head), 768)


class EfficientNetB0(CentredEncoder):
    """The last convolution's map as the grid (7 x 7 x 1280 for 224 pixels), and its mean as the vector.

    A stage is named by the pixels per cell of its maps. Stages that learn drop whole blocks at random in training mode
    (stochastic depth, Huang et al. 2016), as torchvision's own do.
    """

    starts = (("stride2", 0), ("stride4", 2), ("stride8", 3), ("stride16", 4), ("stride32", 6))

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config, efficientnet_b0(weights=None).features, channels=1280)


class MobileNetV2(CentredEncoder):
    """The last convolution's map as the grid (7 x 7 x 1280 for 224 pixels), and its mean as the vector.

    A stage is named by the pixels per cell of its maps.
    """

    starts = (("stride2", 0), ("stride4", 2), ("stride8", 4), ("stride16", 7), ("stride32", 14))

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config, mobilenet_v2(weights=None).features, channels=1280)


class MobileNetV3Large(CentredEncoder):
    """The last convolution's map as the grid (7 x 7 x 960 for 224 pixels), and its mean as the vector.

    A stage is named by the pixels per cell of its maps.
    """

    starts = (("stride2", 0), ("stride4", 2), ("stride8", 4), ("stride16", 7), ("stride32", 13))

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config, mobilenet_v3_large(weights=None).features, channels=960)


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
        super().__init__(config, trunk, VGG_CHANNELS, None if config.outputs == "grid" else _vgg_head(), VGG_UNITS)


def _vgg_head() -> nn.Sequential:
    """Return all from the last pool to fc7's ReLU; "classifier" holds what torchvision keeps under that name."""
    layers = OrderedDict[str, nn.Module]()
    layers["pool"] = nn.MaxPool2d(2)
    layers["resize"] = nn.AdaptiveAvgPool2d(VGG_SIDE)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Sequential(
        nn.Linear(VGG_CHANNELS * VGG_SIDE * VGG_SIDE, VGG_UNITS),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(VGG_UNITS, VGG_UNITS),
        nn.ReLU(),
    )
    return nn.Sequential(layers)
