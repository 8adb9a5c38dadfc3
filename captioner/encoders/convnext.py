"""ConvNeXt-Tiny (Liu et al. 2022) without its classifier."""

from collections import OrderedDict

from torch import nn
from torchvision.models import convnext_tiny

from captioner.config import EncoderConfig
from captioner.encoders.base import Encoder


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
