"""Random numbers of single photos, whatever other photos a batch shows beside them."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor


def chances(seeds: Iterable[int], each: int, steps: int, purpose: int) -> Tensor:
    """Return numbers from 0 up to but not including 1, ``[B * each, steps]``, grouped by photo.

    A photo's numbers depend on its seed alone, so that parts of a batch draw what the whole batch would.

    Args:
        seeds: Of the B photos.
        each: Rows per photo.
        steps: How many numbers a row has.
        purpose: What they are for; other purposes have other numbers.
    """
    found = [np.random.default_rng([purpose, seed]).random((each, steps), dtype=np.float32) for seed in seeds]
    return torch.from_numpy(np.concatenate(found))


def draw(weights: Tensor, chance: Tensor) -> Tensor:
    """Return one token per row, ``[R]``, drawn in proportion to its weight.

    Args:
        weights: ``[R, V]``, not negative, some of each row positive.
        chance: ``[R]``, from 0 up to but not including 1, in single precision: no product with a double rounds up then.
    """
    masses = weights.double().cumsum(dim=1)
    return torch.searchsorted(masses, chance[:, None].double() * masses[:, -1:], right=True).squeeze(1)
