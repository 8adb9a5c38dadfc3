"""What a run shows in TensorBoard: its numbers by step and epoch, and what it says of a few photos, always the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from captioner.heatmap import contact_sheet
from captioner.types import Caption

EVERY = 20  # steps between two points of a curve


class Board:
    """TensorBoard's event files in a run's folder. A run that is resumed writes on where it stopped.

    Args:
        folder: Where the event files go.
        first_step: Of what is written; what an interrupted run wrote from there on is hidden.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def step(self, step: int, numbers: Mapping[str, float]) -> None:
        """Note some numbers of a step, of every 20th alone."""
        if step % EVERY == 0:
            self._add(step, numbers)

    def epoch(self, step: int, scores: Mapping[str, float]) -> None:
        """Note the scores of an epoch that ended before a step."""
        self._add(step, {f"validation/{name}": value for name, value in scores.items()})

    def photos(self, step: int, photos: Sequence[Image.Image], captions: Sequence[Caption]) -> None:
        """Show photos with their captions, and with a heatmap per word if the model attends."""
        lines = "\n".join(f"{number}. {caption.text}" for number, caption in enumerate(captions, start=1))
        self._writer.add_text("captions", lines, step)
        for number, (photo, caption) in enumerate(zip(photos, captions, strict=True), start=1):
            shown = photo if caption.attention is None or not caption.words else contact_sheet(photo, caption)
            self._writer.add_image(f"photo {number}", np.asarray(shown.convert("RGB")), step, dataformats="HWC")
        self._writer.flush()

    def _add(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
