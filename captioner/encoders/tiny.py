"""A network of six thousand weights, for tests and quick trials."""

from torch import nn

from captioner.config import EncoderConfig
from captioner.encoders.base import Encoder


class Tiny(Encoder):
    """Patches of 4 pixels, then two convolutions that are halved by a maximum; the grid's mean is the vector.

    A grid of 4 x 4 x 32 for 64 pixels. There is no norm, so that an image's features never depend on its batch, and
    patches and pools keep cells centred by themselves. Nobody has pretrained it; ``load_pretrained`` takes what the
    ``state_dict`` of another one gives.
    """

    stride = 16
    starts = (("stride4", 0), ("stride8", 2), ("stride16", 5))
    trunk_prefix = "trunk."

    def __init__(self, config: EncoderConfig) -> None:
        trunk = nn.Sequential(
            *(nn.Conv2d(3, 8, kernel_size=4, stride=4), nn.ReLU()),
            *(nn.Conv2d(8, 16, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        )
        for module in trunk:
            if isinstance(module, nn.Conv2d):  # keeps the signal's size from layer to layer
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        super().__init__(config, trunk, channels=32)
