"""Pictures that tests draw for themselves."""

import numpy as np
from PIL import Image


def noise_image(seed: int, width: int = 90, height: int = 60) -> Image.Image:
    """A picture of coloured blocks that differ with the seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)
