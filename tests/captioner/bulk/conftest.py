from pathlib import Path

import pytest

from captioner.bulk.job import BulkInputs, BulkJob, BulkOptions, BulkTask
from captioner.checkpoint import load_with_sha256
from captioner.predictor import CaptionPredictor, ModelInfo
from tests.support.pictures import small_photos

BAD = (3, 17)  # of the photos, those that are none


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 photos, two of them broken."""
    return small_photos(tmp_path_factory.mktemp("bulk") / "photos", 24, BAD)


class Jobs:
    """Makes jobs on a small model."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.sha256 = load_with_sha256(checkpoint)[1]
        self.info: ModelInfo = CaptionPredictor.from_checkpoint(checkpoint).info

    def options(self, form: str = "jsonl", **changes: object) -> BulkOptions:
        return BulkOptions(form, **{"batch_size": 3, "block_size": 4, **changes})  # type: ignore[arg-type]

    def task(self, output: Path, options: BulkOptions) -> BulkTask:
        return BulkTask(str(output), str(self.checkpoint), self.sha256, options)

    def job(self, task: BulkTask, *inputs: object) -> BulkJob:
        return BulkJob(task, BulkInputs(tuple(map(str, inputs))), self.info)


@pytest.fixture(scope="session")
def jobs(small_checkpoint_file: Path) -> Jobs:
    return Jobs(small_checkpoint_file)
