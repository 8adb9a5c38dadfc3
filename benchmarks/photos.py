"""Photos for benchmarks: those of a folder, or made up, each different from all others."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from captioner.errors import OptionError

SAMPLES = Path(__file__).parents[1] / "service" / "static" / "samples"


def read_photos(folder: Path | None, count: int) -> list[bytes]:
    """Return the first JPEG files of a folder, or so many that are made up.

    Raises:
        OptionError: If the folder has none.
    """
    if folder is None:
        return [made_up(seed) for seed in range(count)]
    files = sorted([*folder.glob("*.jpg"), *folder.glob("*.jpeg")])[:count]
    if not files:
        raise OptionError(f"{folder} holds no .jpg files")
    return [path.read_bytes() for path in files]


def made_up(seed: int, width: int = 500, height: int = 375) -> bytes:
    """Return a JPEG of the usual size: a part of one of the page's photos, in other colours and with other stains."""
    random = np.random.default_rng(seed)
    samples = sorted(SAMPLES.glob("*.jpg"))
    photo = Image.open(samples[seed % len(samples)]).convert("RGB")
    left, top = random.uniform(0, 0.3, 2)
    box = (left * photo.width, top * photo.height, (left + 0.7) * photo.width, (top + 0.7) * photo.height)
    part = photo.crop(tuple(map(round, box))).resize((width, height))
    stains = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    mixed = Image.blend(part, stains.filter(ImageFilter.GaussianBlur(8)), float(random.uniform(0, 0.3)))
    file = io.BytesIO()
    mixed.save(file, "JPEG", quality=88)
    return file.getvalue()
