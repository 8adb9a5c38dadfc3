"""Words that are wanted in captions, one for an image: a bonus in what hypotheses are ranked by."""

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np

from captioner.errors import OptionError
from captioner.ranges import Range, check_ranges
from captioner.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Wanted:
    """The word that each of B images wants, as the token ids of its forms.

    Attributes:
        tokens: ``[B, F]``, padded with -1; an image that wants no word has nothing else.
        bonus: What is added to the natural-log probability by which a hypothesis is ranked, once, when it first writes
            one of its image's tokens.

    Raises:
        OptionError: If the bonus is out of range, or the tokens are no table.
    """

    tokens: IntArray
    bonus: Annotated[float, Range(0, 100)]

    def __post_init__(self) -> None:
        check_ranges(self, "wanted ", error=OptionError)
        if self.tokens.ndim != 2:
            raise OptionError(f"wanted tokens are {[*self.tokens.shape]}; they must be [images, forms]")

    def of(self, images: IntArray) -> Self | None:
        """Return what the given images ``[B']`` want; ``None`` if that is nothing."""
        tokens = self.tokens[images]
        return type(self)(tokens, self.bonus) if (tokens >= 0).any() else None

    def lacking(self, written: IntArray) -> BoolArray:
        """Tell which hypotheses want a word that is not in what they have written, ``[B, K, T]``, as ``[B, K]``."""
        has: BoolArray = np.any(written[:, :, :, None] == self.tokens[:, None, None], axis=(2, 3))
        wants: BoolArray = np.any(self.tokens >= 0, axis=1)
        return wants[:, None] & ~has

    def favour(self, totals: FloatArray, written: IntArray) -> None:
        """Add the bonus to totals ``[B, K, V]`` of next tokens, in place, where they are the first wanted ones."""
        gains = self.lacking(written)[:, :, None] & (self.tokens >= 0)[:, None]  # [B, K, F]
        images, slots, forms = gains.nonzero()
        totals[images, slots, self.tokens[images, forms]] += self.bonus

    def ahead(self, written: IntArray, parents: IntArray, tokens: IntArray) -> FloatArray:
        """Return what hypotheses may still gain, ``[B, K]``, once they write tokens after what their parents hold."""
        lacking = np.take_along_axis(self.lacking(written), parents, axis=1) & self.lacking(tokens[:, :, None])
        return np.float32(self.bonus) * lacking.astype(np.float32)
