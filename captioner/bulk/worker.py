"""What every engine does with a block: read its photos, caption them, write the shard of their rows."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from PIL import Image

from captioner.bulk.folder import BlockRef, BlockReport
from captioner.bulk.inputs import PhotoRef
from captioner.bulk.job import BulkTask
from captioner.bulk.shards import Row, count_rows, row_of, write_shard
from captioner.errors import CaptionerError, CheckpointError
from captioner.malloc import keep_freed_memory
from captioner.predictor import CaptionPredictor
from captioner.types import Caption

AHEAD = 2  # batches that are read while one is captioned
Picture = Image.Image | str  # or why there is none


class StoppedError(CaptionerError):
    """A worker that was told to stop in the middle of a block."""


def never() -> bool:
    """Never stop."""
    return False


class BlockCaptioner:
    """Captions blocks, with one model and one CPU thread for it: so a row is the same whoever makes it.

    Args:
        task: What to do.
        device: Where the network computes.
        readers: Threads that read photos.
        stopped: Whether to stop, asked before each batch.

    Raises:
        CheckpointError: If the model cannot be loaded, or is another one than the job began with.
    """

    def __init__(
        self, task: BulkTask, device: str = "cpu", readers: int = 1, stopped: Callable[[], bool] = never
    ) -> None:
        keep_freed_memory()
        self._task = task
        self._folder = task.folder
        self._predictor = CaptionPredictor.from_checkpoint(task.checkpoint, threads=1, device=device)
        if self._predictor.info.sha256 != task.sha256:
            raise CheckpointError(f"{task.checkpoint}: is another model now than the one that the job began with")
        self._readers = readers
        self._stopped = stopped

    def __call__(self, block: BlockRef) -> BlockReport:
        """Write the shard of a block, unless it is there.

        Raises:
            StoppedError: If it was stopped; there is no shard then.
            OSError: If the shard cannot be written.
        """
        path, options = self._folder.shard(block.number), self._task.options
        if path.exists():  # of a worker that died before it could report
            return BlockReport(block.number, *count_rows(path, options.form))
        rows = list(self._rows(self._folder.photos(block)))
        with self._folder.writing(block.number) as partial:
            write_shard(partial, rows, options.form, attention=options.attention)
        return BlockReport(block.number, len(rows), sum(row["error"] is not None for row in rows))

    def _rows(self, photos: Sequence[PhotoRef]) -> Iterator[Row]:
        for batch, pictures in self._read(photos):
            if self._stopped():
                raise StoppedError("stopped")
            images = [picture for picture in pictures if not isinstance(picture, str)]
            captions = iter(self._predictor.captions(images, self._task.options.decoding))
            for photo, picture in zip(batch, pictures, strict=True):
                found: Caption | str = picture if isinstance(picture, str) else next(captions)[0]
                yield row_of(photo, found, attention=self._task.options.attention)

    def _read(self, photos: Sequence[PhotoRef]) -> Iterator[tuple[Sequence[PhotoRef], list[Picture]]]:
        """Yield batches of photos and their pictures, read ahead while those before are captioned."""
        size = self._task.options.batch_size
        waiting: deque[tuple[Sequence[PhotoRef], list[Future[Picture]]]] = deque()
        with ThreadPoolExecutor(self._readers) as pool:
            for start in range(0, len(photos), size):
                batch = photos[start : start + size]
                waiting.append((batch, [pool.submit(self._picture, photo) for photo in batch]))
                if len(waiting) > AHEAD:
                    yield _ready(*waiting.popleft())
            while waiting:
                yield _ready(*waiting.popleft())

    def _picture(self, photo: PhotoRef) -> Picture:
        try:
            return self._predictor.read(photo.read()).image
        except OSError as error:
            return error.strerror or str(error)
        except CaptionerError as error:
            return str(error)


def _ready(batch: Sequence[PhotoRef], pictures: Sequence[Future[Picture]]) -> tuple[Sequence[PhotoRef], list[Picture]]:
    return batch, [picture.result() for picture in pictures]
