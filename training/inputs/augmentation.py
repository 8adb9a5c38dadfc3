"""Photos cropped and coloured by chance, a batch at once, beside the encoder that learns from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from captioner.config import STRICT
from captioner.ranges import Range, check_ranges
from training.inputs.chance import chances

AUGMENTED = 3  # the purpose of chance
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as ITU-R BT.601 and torchvision have it


@dataclass(frozen=True)
class Augmentation:
    """How far a photo may be from itself to be learnt from.

    Attributes:
        crop: The smallest share of a side that a crop keeps.
        colour: The largest relative change of brightness, contrast and saturation.
    """

    __pydantic_config__ = STRICT
    crop: Annotated[float, Range(0, 1, above=True)] = 0.8
    colour: Annotated[float, Range(0, 1)] = 0.2

    def __post_init__(self) -> None:
        check_ranges(self, "data.augmentation.")


MILD = Augmentation()


def augment(photos: Tensor, size: int, mirror: Tensor, seeds: Iterable[int], how: Augmentation) -> Tensor:
    """Return photos ``[B, 3, size, size]``, from 0 to 1, each a pure function of its own arguments.

    Height and width of a crop are drawn for themselves, then its place, then how its brightness, its contrast and its
    saturation change, which is done in this order. A batch is a few products of matrices, as photos one after the other
    would keep a GPU waiting: it trained 200 of them a second, bound by the core that launched their kernels.

    Args:
        photos: ``[B, 3, side, side]`` bytes.
        size: Of the squares that are returned.
        mirror: ``[B]``, which photos to mirror left to right.
        seeds: B integers, not negative.
        how: How strongly.
    """
    side, device = photos.shape[2], photos.device
    chance = chances(seeds, 1, 7, AUGMENTED)  # [B, 7]
    lengths = (side * (how.crop + (1 - how.crop) * chance[:, :2])).round().clamp(min=1)  # [B, 2]
    firsts = ((side - lengths + 1) * chance[:, 2:4]).floor()
    rows, columns = (resizing(firsts[:, k], lengths[:, k], side, size).to(device) for k in range(2))
    columns = torch.where(mirror.to(device)[:, None, None], columns.flip(1), columns)
    seen = rows[:, None] @ (photos.float() / 255) @ columns[:, None].transpose(2, 3)
    changes = (1 + how.colour * (2 * chance[:, 4:] - 1)).to(device)  # [B, 3]
    return coloured(seen.clamp(0, 1), *changes.unbind(1)) if how.colour else seen.clamp(0, 1)


def resizing(firsts: Tensor, lengths: Tensor, side: int, size: int) -> Tensor:
    """Return the matrices ``[B, size, side]`` that crop a line of pixels and resize the crop, linearly and antialiased.

    A new pixel is the mean of those around its centre, weighted by a triangle that is as wide as the larger of old and
    new pixels, as Pillow and torchvision resize.

    Args:
        firsts: ``[B]``, the first pixel of each crop.
        lengths: ``[B]``, its number of pixels.
        side: Pixels of the line.
        size: Pixels of the result.
    """
    scale = (lengths / size)[:, None, None]
    centres = firsts[:, None, None] + scale * (torch.arange(size) + 0.5)[None, :, None]  # [B, size, 1]
    pixels = torch.arange(side)
    weights = (1 - (pixels + 0.5 - centres).abs() / scale.clamp(min=1)).clamp(min=0)
    inside = (pixels >= firsts[:, None]) & (pixels < (firsts + lengths)[:, None])  # [B, side]
    weights = weights * inside[:, None]
    return weights / weights.sum(dim=2, keepdim=True)


def coloured(photos: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Return photos ``[B, 3, H, W]`` with brightness, contrast and saturation multiplied by a factor each, ``[B]``."""
    luma = torch.tensor(LUMA, device=photos.device)[:, None, None]
    brightness, contrast, saturation = (factor[:, None, None, None] for factor in (brightness, contrast, saturation))
    seen = (photos * brightness).clamp(0, 1)
    mean = (seen * luma).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    seen = (mean + contrast * (seen - mean)).clamp(0, 1)
    grey = (seen * luma).sum(dim=1, keepdim=True)
    return (grey + saturation * (seen - grey)).clamp(0, 1)
