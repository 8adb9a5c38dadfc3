"""Trunks of strided, padded convolutions, which by themselves look half a cell to one side."""

from torch import Tensor, nn
from torch.nn import functional as F

from captioner.config import EncoderConfig
from captioner.encoders.base import Encoder


class CentredEncoder(Encoder):
    """A trunk of five layers of stride 2 with odd kernels and padding, its cells moved to the middle of their parts.

    A layer of stride 2 that is padded by the same on both sides is centred on every second pixel, beginning with the
    very first; five of them in a row centre cell (row, col) on pixel (32 row, 32 col), the upper left corner of the
    part that it stands for. Padded as TensorFlow pads an even size, one pixel less before than after, they centre it on
    the lower right corner. Half a cell more around the image moves the middle of the part there; the row and the column
    that this adds are cut off.
    """

    stride = 32

    def __init__(self, config: EncoderConfig, trunk: nn.Sequential, channels: int) -> None:
        super().__init__(config, trunk, channels)
        if config.padding == "same":
            for module in trunk.modules():
                if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                    module.padding = (0, 0)
                    module.register_forward_pre_hook(_pad_as_tensorflow)

    def enter(self, pixels: Tensor) -> Tensor:
        """Return the image with half a cell more around it, ``[B, 3, H + 32, W + 32]``, or before it, 16 each."""
        half = self.stride // 2
        after = half if self.config.padding == "same" else 0
        return F.pad(pixels, (half, after, half, after))

    def leave(self, maps: Tensor) -> Tensor:
        """Return the map without the row and the column that were added, ``[B, D, H/32, W/32]``."""
        return maps[:, :, :-1, :-1] if self.config.padding == "same" else maps[:, :, 1:, 1:]


def _pad_as_tensorflow(convolution: nn.Conv2d, inputs: tuple[Tensor]) -> Tensor:
    """Pad as TensorFlow's SAME pads an even size for stride 2: kernel - 2 pixels, the smaller half of them before."""
    missing = convolution.kernel_size[0] - 2
    before, after = missing // 2, missing - missing // 2
    return F.pad(inputs[0], (before, after, before, after))
