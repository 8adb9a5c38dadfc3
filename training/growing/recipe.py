"""What growing a model depends on, as its run keeps it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from captioner.config import STRICT
from captioner.ranges import Range, check_ranges
from training.data import CaptionSource
from training.recipe import RunRecipe

CORRECTIONS, PHOTOS = "corrections.jsonl", "photos"  # what a service's folder of corrections holds


@dataclass(frozen=True)
class GrowTraining(RunRecipe):
    """How to learn from corrections.

    Attributes:
        epochs: Stretches after each of which the model is looked at.
        epoch_steps: Steps of each.
        learning_rate: The peak of the decoder's learning rate.
        word_rate: That of the rows that new words have of their own, in which there is nothing but chance.
        images_per_batch: Corrected photos of a step, cropped and coloured anew; as many old ones twice over.
        augmented: Versions of each corrected photo.
        old_photos: Most photos of the old captions that are shown again.
        old_captions: Most of the old captions of each.
        keep: Weight of staying near the old model's words on old photos.
        near: Weight of staying near the old weights where there are no old photos.
    """

    weight_decay: Annotated[float, Range(0, 10)] = 0.0
    epochs: Annotated[int, Range(1, 100)] = 3
    epoch_steps: Annotated[int, Range(1, 10_000)] = 20
    learning_rate: Annotated[float, Range(0, 1)] = 1e-4
    word_rate: Annotated[float, Range(0, 1)] = 1e-2
    images_per_batch: Annotated[int, Range(1, 1000)] = 8
    augmented: Annotated[int, Range(0, 100)] = 6
    old_photos: Annotated[int, Range(1)] = 300
    old_captions: Annotated[int, Range(1)] = 1
    keep: Annotated[float, Range(0, 1000)] = 5.0
    near: Annotated[float, Range(0, 1000)] = 0.05


@dataclass(frozen=True)
class GrowRecipe:
    """Everything that such a run depends on.

    Attributes:
        runs: The folder of the run's folder.
        name: The name of the run's folder.
        checkpoint: The model that grows.
        checkpoint_sha256: Of its file.
        corrections: The folder of the corrections.
        corrections_sha256: Of their list.
        annotations: The file of the captions that it learnt from; empty if they are not at hand.
        images: The folder of their photos.
        split: Which of them.
        cache: Folder of the feature cache.
        seed: Of new words' weights and the order of the data.
        max_tokens: Longer captions are cut to this many tokens.
        training: How to learn.
    """

    __pydantic_config__ = STRICT
    runs: str
    name: str
    checkpoint: str
    checkpoint_sha256: str
    corrections: str
    corrections_sha256: str
    annotations: str = ""
    images: str = ""
    split: tuple[str, ...] = ()
    cache: str = "cache"
    seed: int = 1
    max_tokens: Annotated[int, Range(1)] = 20
    training: GrowTraining = field(default_factory=GrowTraining)

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def run_dir(self) -> Path:
        """Where the run keeps its state and its best weights."""
        return Path(self.runs) / self.name

    @property
    def corrected(self) -> CaptionSource:
        """The corrections."""
        folder = Path(self.corrections)
        return CaptionSource(folder / CORRECTIONS, folder / PHOTOS, format="jsonl", unreadable="skip")

    @property
    def old(self) -> CaptionSource | None:
        """The captions that the model learnt from, if they are given."""
        return CaptionSource(Path(self.annotations), Path(self.images), self.split) if self.annotations else None
