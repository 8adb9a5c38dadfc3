"""EfficientNet-B0 (Tan and Le 2019) without its classifier."""

from torchvision.models import efficientnet_b0

from captioner.config import EncoderConfig
from captioner.encoders.centred import CentredEncoder


class EfficientNetB0(CentredEncoder):
    """The last convolution's map as the grid (7 x 7 x 1280 for 224 pixels), and its mean as the vector.

    A stage is named by the pixels per cell of its maps. Stages that learn drop whole blocks at random in training mode
    (stochastic depth, Huang et al. 2016), as torchvision's own do.
    """

    starts = (("stride2", 0), ("stride4", 2), ("stride8", 3), ("stride16", 4), ("stride32", 6))

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config, efficientnet_b0(weights=None).features, channels=1280)
