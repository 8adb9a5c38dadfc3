"""Pictures that tests draw for themselves."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image


def noise_image(seed: int, width: int = 90, height: int = 60) -> Image.Image:
    """A picture of coloured blocks that differ with the seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)


def small_photos(folder: Path, count: int, bad: Collection[int] = ()) -> Path:
    """Fill a new folder with photos of 24 pixels and more; some of them are broken."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05}.png"
        noise_image(number, 24 + number % 40, 32).save(path)
        if number in bad:
            path.write_bytes(path.read_bytes()[:60])
    return folder
