"""MobileNetV2 (Sandler et al. 2018) without its classifier."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F
from torchvision.models import mobilenet_v2

from captioner.encoders.base import Encoder
from captioner.errors import ConfigError
from captioner.types import Features


class MobileNetV2(Encoder):
    """The last convolution's map as the grid (7 x 7 x 1280 for 224 pixels), and its mean as the vector."""

    vector_size = 1280
    grid_size = 1280
    stride = 32

    def __init__(self) -> None:
        super().__init__()
        self.trunk = mobilenet_v2(weights=None).features

    def forward(self, pixels: Tensor) -> Features:
        """Encode pixels ``[B, 3, H, W]`` to a grid of ``H/32 x W/32`` locations, each centred on its part of the image.

        A convolution of stride 2 with one pixel of padding is centred on every second pixel, beginning with the very
        first. Five of them in a row centre cell (row, col) of the map on pixel (32 row, 32 col): on the upper left
        corner of the part that it stands for. Half a cell of padding at the top and left, and leaving out the row and
        the column that this adds, centres every cell on the middle of its part.
        """
        half = self.stride // 2
        maps = self.trunk(F.pad(pixels, (half, 0, half, 0)))[:, :, 1:, 1:]  # [B, 1280, H/32, W/32]
        grid = maps.flatten(2).transpose(1, 2)  # [B, L, 1280]
        return Features(vector=grid.mean(dim=1), grid=grid, rows=maps.shape[2], cols=maps.shape[3])

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the weights under ``features.`` of torchvision's MobileNetV2."""
        prefix = "features."
        trunk = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        try:
            self.trunk.load_state_dict(trunk)
        except RuntimeError as error:
            raise ConfigError(f"these are not torchvision's weights for mobilenet_v2: {error}") from None
