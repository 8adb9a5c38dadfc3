"""What every encoder offers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from captioner.types import Features


class Encoder(nn.Module, ABC):
    """A network from pixels to features.

    Attributes:
        vector_size: P, the length of the image vector.
        grid_size: D, the channels of the grid.
        stride: Pixels per grid cell along each side.
    """

    vector_size: int
    grid_size: int
    stride: int

    @abstractmethod
    def forward(self, pixels: Tensor) -> Features:
        """Encode normalised pixels ``[B, 3, H, W]``; H and W are multiples of ``stride``.

        Each cell of the grid is centred on the part of the image that it stands for, so that attention over the grid
        can be drawn over the image.
        """

    @abstractmethod
    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Take over weights named as torchvision names them; those of its classifier are left out.

        Raises:
            ConfigError: If a weight of the trunk is missing or has another shape.
        """
