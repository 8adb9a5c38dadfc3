"""What requests have the model do: a photo, a task, and the answer that somebody waits for."""

from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

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

    @property
    def sha256(self) -> str:
        """The hash of the file that it was read from; empty for a model that was not read from a file."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """What else is told of it, as JSON values."""
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
    """

    predictor: Predictor

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.predictor.info.name

    @property
    def version(self) -> str:
        """Which version of it this is."""
        return self.predictor.info.version

    @property
    def sha256(self) -> str:
        """The hash of its file; empty for one that was not read from a file."""
        return self.predictor.info.sha256

    @property
    def details(self) -> Mapping[str, Any]:
        """What else is told of it, as JSON values."""
        return self.predictor.info.details

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


class Task(Hashable, Protocol):
    """What the model does with a batch of photos. Tasks that are equal can run together."""

    @property
    def repeatable(self) -> bool:
        """Whether the same photo and text get the same answer again."""
        ...

    def run(self, predictor: Predictor, pictures: Sequence[Image], texts: Sequence[str]) -> Sequence[Sequence[Caption]]:
        """Return what the model says of each picture and its text."""
        ...


@dataclass(frozen=True)
class Captioning:
    """Captions are found; the texts play no part."""

    options: DecodingOptions
    activations: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether the same photo gets the same captions again: not if they are drawn by chance."""
        return self.options.search != "sample" or self.options.seed is not None

    def run(self, predictor: Predictor, pictures: Sequence[Image], texts: Sequence[str]) -> Sequence[Sequence[Caption]]:  # noqa: ARG002
        """Return the best captions of each picture."""
        return predictor.captions(pictures, self.options, activations=self.activations)


@dataclass(frozen=True)
class Scoring:
    """Texts are scored, each as the caption of its photo."""

    activations: bool = False
    repeatable: ClassVar[bool] = True

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
