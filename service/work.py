"""What requests have the model do: a photo, a task, and the answer that somebody waits for."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from PIL.Image import Image

from captioner.decoding import DecodingOptions
from captioner.types import Caption


class ModelInfo(Protocol):
    """What a model is called."""

    @property
    def name(self) -> str:
        """The name."""
        ...

    @property
    def version(self) -> str:
        """The version."""
        ...


class Predictor(Protocol):
    """What the service needs of a model."""

    @property
    def info(self) -> ModelInfo:
        """What the model is called."""
        ...

    def captions(
        self, images: Sequence[Image], options: DecodingOptions, *, activations: bool = False
    ) -> list[list[Caption]]:
        """Return the best captions of every image, best first."""
        ...

    def scores(self, images: Sequence[Image], texts: Sequence[str], *, activations: bool = False) -> list[Caption]:
        """Return every text as the caption of its image, with the probabilities that the model gives it."""
        ...


@runtime_checkable
class PreparingPredictor(Protocol):
    """A model that can make a photo small outside the inference thread."""

    def prepare(self, image: Image) -> Image:
        """Return a smaller picture of which the model says the same. May be called from any thread."""
        ...


@dataclass(frozen=True, eq=False)
class Model:
    """A model that answers requests; two are the same only if they are one.

    Attributes:
        predictor: The model itself.
        sha256: The hash of its file; empty for one that was not read from a file.
    """

    predictor: Predictor
    sha256: str = ""

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.predictor.info.name

    @property
    def version(self) -> str:
        """Which version of it this is."""
        return self.predictor.info.version

    def photo(self, image: Image) -> "Photo":
        """Return an upright image as this model looks at it."""
        small = self.predictor.prepare(image) if isinstance(self.predictor, PreparingPredictor) else image
        return Photo(self, small, image.width, image.height, image.format)


@dataclass(frozen=True)
class Photo:
    """A photo as a model looks at it, which is small, since many may wait.

    Attributes:
        model: The model that it was prepared for, and that will look at it.
        picture: What the model is shown.
        width: The width of the upright photo in full.
        height: The height of the upright photo in full.
        format: The format of its file.
    """

    model: Model
    picture: Image
    width: int
    height: int
    format: str | None


class Task(Protocol):
    """What the model does with a batch of photos. Tasks that are equal can run together."""

    def run(self, predictor: Predictor, pictures: Sequence[Image], texts: Sequence[str]) -> Sequence[Sequence[Caption]]:
        """Return what the model says of each picture and its text."""
        ...


@dataclass(frozen=True)
class Captioning:
    """Captions are found; the texts play no part."""

    options: DecodingOptions
    activations: bool = False

    def run(self, predictor: Predictor, pictures: Sequence[Image], texts: Sequence[str]) -> Sequence[Sequence[Caption]]:  # noqa: ARG002
        """Return the best captions of each picture."""
        return predictor.captions(pictures, self.options, activations=self.activations)


@dataclass(frozen=True)
class Scoring:
    """Texts are scored, each as the caption of its photo."""

    activations: bool = False

    def run(self, predictor: Predictor, pictures: Sequence[Image], texts: Sequence[str]) -> Sequence[Sequence[Caption]]:
        """Return each text as the only caption of its picture."""
        return [[caption] for caption in predictor.scores(pictures, texts, activations=self.activations)]


@dataclass(frozen=True)
class Inference:
    """What the model says of one image.

    Attributes:
        captions: The captions, best first; one when a text was scored.
        seconds: How long the model took for the batch in which the image was.
        waited: How long the image had waited for the model, in seconds.
    """

    captions: Sequence[Caption]
    seconds: float
    waited: float


@dataclass(frozen=True, eq=False)
class Job:
    """A photo that waits for the model.

    Attributes:
        photo: The photo, and the model that shall look at it.
        task: What to do.
        text: The text to score, if that is the task.
        submitted: When it began to wait, by the engine's clock.
        deadline: When its answer is no longer wanted.
        answer: Where the answer will be; cancelling it takes the job back, unless the model has begun.
    """

    photo: Photo
    task: Task
    text: str
    submitted: float
    deadline: float
    answer: "Future[Inference]" = field(default_factory=Future)

    def goes_with(self, other: "Job") -> bool:
        """Return whether the two can be in one batch."""
        return self.photo.model is other.photo.model and self.task == other.task
