"""A checkpoint file to a model that is ready to answer, and a look whether the file has become another one."""

from functools import partial
from pathlib import Path

from PIL import Image

from captioner.checkpoint import SHIPPED
from captioner.predictor import CaptionPredictor
from service.inference.engine import Engine
from service.inference.jobs import Captioning, Model
from service.inference.worker import batch_sizes
from service.settings import Settings

Mark = tuple[int, int, int]


def checkpoint_path(settings: Settings) -> Path:
    """Return the file of the model."""
    return settings.checkpoint or SHIPPED


def load_model(settings: Settings) -> Model:
    """Load the model that the settings name.

    Raises:
        CaptionerError: If the file cannot be used.
        OSError: If it cannot be read.
    """
    path = checkpoint_path(settings)
    return Model(CaptionPredictor.from_checkpoint(path, threads=settings.inference_threads))


def warm_up(engine: Engine, model: Model, settings: Settings) -> None:
    """Let a model caption a batch of every size, each between two batches of those that wait.

    The first batch of a size is slow, since libraries then choose how to compute it.

    Raises:
        Exception: Whatever the model raises, if it does not work.
    """
    task = Captioning(settings.options())
    picture = model.photo(Image.new("RGB", (64, 64))).picture
    for size in batch_sizes(settings.max_batch):
        answers = engine.call(partial(task.run, model.predictor, [picture] * size, [""] * size))
        if len(answers) != size:
            raise ValueError(f"the model returned {len(answers)} answers to {size} photos")


class FileWatch:
    """Tells when a file has become another one and does not change any more.

    Args:
        path: The file, which may be replaced, or be gone for a while.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._seen = self._mark()

    def remember(self) -> None:
        """Take the file as it is for the one that is known."""
        self._known = self._seen = self._mark()

    def is_new(self) -> bool:
        """Return whether the file is another one than is known, and the same as at the last look.

        What changes from look to look is still being written.
        """
        last, self._seen = self._seen, self._mark()
        return self._seen is not None and self._seen == last and self._seen != self._known

    def _mark(self) -> Mark | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns
