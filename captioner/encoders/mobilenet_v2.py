"""MobileNetV2 (Sandler et al. 2018) without its classifier."""

from torchvision.models import mobilenet_v2

from captioner.config import EncoderConfig
from captioner.encoders.centred import CentredEncoder


class MobileNetV2(CentredEncoder):
    """The last convolution's map as the grid (7 x 7 x 1280 for 224 pixels), and its mean as the vector.

    A stage is named by the pixels per cell of its maps.
    """

    starts = (("stride2", 0), ("stride4", 2), ("stride8", 4), ("stride16", 7), ("stride32", 14))

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config, mobilenet_v2(weights=None).features, channels=1280)
