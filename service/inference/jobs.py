"""What requests have the model do: a photo, a task, the job of both, and its result."""

from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from PIL.Image import Image

from captioner.answers.answering import Answers
from captioner.decoding import DecodingOptions
from captioner.images import DecodedPhoto, ImageLimits
from captioner.types import Caption
from service.inference.predictor import Predictor


@dataclass(frozen=True)
class ModelIdentity:
    """Which model made a result; it keeps none in memory.

    Attributes:
        name: What the model is called.
        version: Which version of it this is.
        sha256: The hash of its file; empty for one that was not read from a file.
    """

    name: str
    version: str
    sha256: str


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

    @property
    def identity(self) -> ModelIdentity:
        """What results say of the model."""
        return ModelIdentity(self.name, self.version, self.sha256)

    def understands(self, question: str) -> bool:
        """Whether the model answers questions, and knows all words of this one."""
        return self.predictor.understands(question)

    def read(self, data: bytes, limits: ImageLimits) -> DecodedPhoto:
        """Read an upload as the model is shown it, as small as the model allows.

        Raises:
            ImageError: If the bytes are no usable image; see :func:`captioner.images.decode_photo`.
        """
        return self.predictor.read(data, limits)

    def prepare(self, image: Image) -> Image:
        """Return an upright image as the model is shown it, made small if the model allows it."""
        return self.predictor.prepare(image)


@dataclass(frozen=True)
class Photo:
    """What is told of a photo.

    Attributes:
        width: The width of the upright photo in pixels.
        height: Its height.
        format: The format of its file, such as ``JPEG``.
    """

    width: int
    height: int
    format: str | None


Said = Caption | Answers


class Task(Hashable, Protocol):
    """What the model does with a photo."""

    @property
    def repeatable(self) -> bool:
        """Whether the same photo gets the same answer again."""
        ...

    def goes_with(self, other: "Task") -> bool:
        """Return whether the two can run in one batch."""
        ...

    def run(self, predictor: Predictor, pictures: Sequence[Image], tasks: Sequence[Any]) -> Sequence[Sequence[Said]]:
        """Return what the model says of each picture.

        Args:
            predictor: The model.
            pictures: The pictures of a batch.
            tasks: The task of each, which goes with this one.
        """
        ...


@dataclass(frozen=True)
class Captioning:
    """Captions are found."""

    options: DecodingOptions
    activations: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether the same photo gets the same captions again: not if they are drawn by chance."""
        return self.options.search != "sample" or self.options.seed is not None

    def goes_with(self, other: Task) -> bool:
        """Return whether the two can run in one batch: if they are the same."""
        return self == other

    def run(
        self,
        predictor: Predictor,
        pictures: Sequence[Image],
        tasks: Sequence["Captioning"],  # noqa: ARG002
    ) -> list[list[Caption]]:
        """Return the best captions of each picture."""
        return predictor.captions(pictures, self.options, activations=self.activations)


@dataclass(frozen=True)
class Scoring:
    """A text is scored as the caption of its photo."""

    text: str
    activations: bool = False
    repeatable: ClassVar[bool] = True

    def goes_with(self, other: Task) -> bool:
        """Return whether the two can run in one batch, whatever their texts."""
        return isinstance(other, Scoring) and self.activations == other.activations

    def run(self, predictor: Predictor, pictures: Sequence[Image], tasks: Sequence["Scoring"]) -> list[list[Caption]]:
        """Return the text of each task as the only caption of its picture."""
        texts = [task.text for task in tasks]
        return [[caption] for caption in predictor.scores(pictures, texts, activations=self.activations)]


@dataclass(frozen=True)
class Asking:
    """A question is answered about a photo."""

    question: str
    num_answers: int
    repeatable: ClassVar[bool] = True

    def goes_with(self, other: Task) -> bool:
        """Return whether the two can run in one batch, whatever their questions."""
        return isinstance(other, Asking) and self.num_answers == other.num_answers

    def run(self, predictor: Predictor, pictures: Sequence[Image], tasks: Sequence["Asking"]) -> list[list[Answers]]:
        """Return the answers to the question of each task.

        Raises:
            OptionError: If the model answers no questions.
        """
        return [[one] for one in predictor.answers(pictures, [task.question for task in tasks], self.num_answers)]


@dataclass(frozen=True)
class Seconds:
    """How long the parts of a result took; 0 if it was cached.

    Attributes:
        decode: Decoding the photo.
        inference: The model, for the batch in which the photo was.
    """

    decode: float = 0.0
    inference: float = 0.0


@dataclass(frozen=True)
class Result:
    """What a model says of one photo.

    Attributes:
        model: The model that said it.
        photo: What is told of the photo.
        said: The captions, best first; the only one when a text was scored; or the answers to a question.
        seconds: How long it took.
        cached: Whether it is that of an earlier request.
    """

    model: ModelIdentity
    photo: Photo
    said: Sequence[Said]
    seconds: Seconds = Seconds()
    cached: bool = False

    @property
    def captions(self) -> list[Caption]:
        """The captions that were found or scored."""
        return [one for one in self.said if isinstance(one, Caption)]

    @property
    def answers(self) -> Answers:
        """The answers to the question that was asked."""
        [answers] = [one for one in self.said if isinstance(one, Answers)]
        return answers


@dataclass(eq=False)
class Job:
    """A decoded photo that waits for the model.

    Attributes:
        model: The model that shall look at it.
        picture: What the model is shown, which is small, since many may wait.
        photo: What is told of the photo.
        task: What to do.
        deadline: When its result is no longer wanted, by the engine's clock.
        decode_seconds: How long decoding took.
        submitted: When it began to wait.
        answer: Where the result will be; cancelling it takes the job back, unless the model has begun.
    """

    model: Model
    picture: Image
    photo: Photo
    task: Task
    deadline: float
    decode_seconds: float = 0.0
    submitted: float = 0.0
    answer: "Future[Result]" = field(default_factory=Future)

    def goes_with(self, other: "Job") -> bool:
        """Return whether the two can be in one batch."""
        return self.model is other.model and self.task.goes_with(other.task)

    def result(self, said: Sequence[Said], seconds: float) -> Result:
        """Return the result, given what the model said and how long it took."""
        return Result(self.model.identity, self.photo, said, Seconds(self.decode_seconds, seconds))
