"""MobileNetV3-Large (Howard et al. 2019) without its classifier."""

from torchvision.models import mobilenet_v3_large

from captioner.config import EncoderConfig
from captioner.encoders.centred import CentredEncoder


class MobileNetV3Large(CentredEncoder):
    """The last convolution's map as the grid (7 x 7 x 960 for 224 pixels), and its mean as the vector.

    A stage is named by the pixels per cell of its maps.
    """

    starts = (("stride2", 0), ("stride4", 2), ("stride8", 4), ("stride16", 7), ("stride32", 13))

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config, mobilenet_v3_large(weights=None).features, channels=960)
