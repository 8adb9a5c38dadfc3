"""A bulk job: what its rows are made of, how its folder is begun or gone on with, and which blocks are left."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from captioner.bulk.folder import BlockRef, BlockReport, BulkFolder
from captioner.bulk.inputs import COLUMN, find_inputs
from captioner.bulk.parquet import require_parquet
from captioner.bulk.shards import FORMATS
from captioner.decoding import DecodingOptions
from captioner.errors import OptionError
from captioner.predictor import ModelInfo
from captioner.ranges import Range, check_ranges

MANIFEST_VERSION = 1
Engine = Callable[["BulkTask", Iterable[BlockRef]], Iterator[BlockReport]]


@dataclass(frozen=True)
class BulkOptions:
    """What rows look like, and in which portions they are made.

    Attributes:
        form: Of the shards: ``jsonl`` or ``parquet``.
        attention: Whether each row holds where the model looked for each word.
        batch_size: Photos that the model looks at together.
        block_size: Photos of a shard.
        decoding: How captions are found.
    """

    form: str = "jsonl"
    attention: bool = False
    batch_size: Annotated[int, Range(1, 1024)] = 16
    block_size: Annotated[int, Range(1, 100_000)] = 256
    decoding: DecodingOptions = field(default_factory=DecodingOptions)

    def __post_init__(self) -> None:
        if self.form not in FORMATS:
            raise OptionError(f"format is {self.form!r}; it must be {' or '.join(FORMATS)}")
        check_ranges(self, error=OptionError)
        if self.decoding.num_captions != 1:
            raise OptionError(f"num_captions is {self.decoding.num_captions}; a row holds the best caption alone")
        if self.form == "parquet":
            require_parquet()


@dataclass(frozen=True)
class BulkInputs:
    """Which photos a job is about; see :func:`captioner.bulk.inputs.find_inputs`."""

    inputs: tuple[str, ...]
    column: str = COLUMN
    root: str = ""


@dataclass(frozen=True)
class BulkTask:
    """What a worker must know, wherever it runs.

    Attributes:
        output: The job's folder, from the root.
        checkpoint: The model's file, from the root; ``None`` is the shipped one.
        sha256: Of that file.
        options: What the rows look like.
    """

    output: str
    checkpoint: str | None
    sha256: str
    options: BulkOptions

    @property
    def folder(self) -> BulkFolder:
        """The job's folder."""
        return BulkFolder(Path(self.output), self.options.form)


class BulkJob:
    """A job in its folder, begun or gone on with; to be made while the folder is locked.

    Args:
        task: What workers must know.
        inputs: Which photos.
        model: The model, for the manifest.

    Attributes:
        photos: How many there are.
        done: The reports of finished blocks, by number.

    Raises:
        OptionError: If an input cannot be used, or if the folder holds rows that were made of something else.
    """

    def __init__(self, task: BulkTask, inputs: BulkInputs, model: ModelInfo) -> None:
        self._task = task
        self._folder = task.folder
        wanted = _manifest(task, inputs, model)
        found = self._folder.manifest()
        if found is None:
            photos = find_inputs(inputs.inputs, inputs.column, Path(inputs.root))
            self._folder.write_plan(photos, task.options.block_size, wanted)
            found = self._folder.manifest() or {}
        _require_same(self._folder.path, found, wanted)
        self.photos: int = found["photos"]
        self.done = self._folder.reports()

    def run(self, engine: Engine) -> Iterator[BlockReport]:
        """Caption what is left; yield the report of each block once its shard is whole.

        Args:
            engine: From the blocks that are left to their reports, in any order.
        """
        left = (block for block in self._folder.blocks() if block.number not in self.done)
        for report in engine(self._task, left):
            self._folder.note(report)
            self.done[report.block] = report
            yield report


def _manifest(task: BulkTask, inputs: BulkInputs, model: ModelInfo) -> dict[str, Any]:
    return {
        "version": MANIFEST_VERSION,
        "model": {"name": model.name, "version": model.version, "sha256": task.sha256},
        **asdict(task.options),
        **asdict(inputs),
        "inputs": list(inputs.inputs),
    }


def _require_same(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differing = [name for name, value in wanted.items() if found.get(name) != value]
    if differing:
        told = "; ".join(f"{name} was {found.get(name)!r} and is {wanted[name]!r}" for name in differing)
        raise OptionError(f"{folder}: holds rows of another job; name a new folder, or ask for the same again: {told}")
