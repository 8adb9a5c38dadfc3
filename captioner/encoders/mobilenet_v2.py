"""MobileNetV2 (Sandler et al. 2018) without its classifier."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v2

from captioner.config import EncoderConfig
from captioner.encoders.base import Encoder
from captioner.errors import ConfigError
from captioner.types import Features


class MobileNetV2(Encoder):
    """The last convolution's map as the grid (7 x 7 x 1280 for 224 pixels), and its mean as the vector."""

    vector_size = 1280
    grid_size = 1280
    stride = 32

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.padding = config.padding
        self.trunk = mobilenet_v2(weights=None).features
        if self.padding == "same":
            for module in self.trunk.modules():
                if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                    module.padding = (0, 0)
                    module.register_forward_pre_hook(_pad_end)

    def forward(self, pixels: Tensor) -> Features:
        """Encode pixels ``[B, 3, H, W]`` to a grid of ``H/32 x W/32`` locations, each centred on its part of the image.

        By itself the trunk does not centre them. A convolution of stride 2 that is padded on both sides is centred on
        every second pixel, beginning with the very first; five of them in a row centre cell (row, col) on pixel
        (32 row, 32 col), the upper left corner of the part that it stands for. Padded at the end alone, they centre it
        on the lower right corner. Half a cell more around the image moves the middle of the part there.
        """
        half, rows, cols = self.stride // 2, pixels.shape[2] // self.stride, pixels.shape[3] // self.stride
        if self.padding == "same":
            maps = self.trunk(F.pad(pixels, (half, half, half, half)))[:, :, :rows, :cols]
        else:
            maps = self.trunk(F.pad(pixels, (half, 0, half, 0)))[:, :, 1:, 1:]
        grid = maps.flatten(2).transpose(1, 2)  # [B, L, 1280]
        return Features(vector=grid.mean(dim=1), grid=grid, rows=rows, cols=cols)

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the weights under ``features.`` of torchvision's MobileNetV2."""
        prefix = "features."
        trunk = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        try:
            self.trunk.load_state_dict(trunk)
        except RuntimeError as error:
            raise ConfigError(f"these are not torchvision's weights for mobilenet_v2: {error}") from None


def _pad_end(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """Pad as TensorFlow's SAME pads a 3 x 3 convolution of stride 2 on an even size."""
    return F.pad(inputs[0], (0, 1, 0, 1))
