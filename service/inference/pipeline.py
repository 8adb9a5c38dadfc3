"""What all routes share: from the bytes of a photo to what the model says of it, which may have been kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from PIL.Image import Image

from captioner.errors import OptionError
from captioner.images import DEFAULT_LIMITS
from captioner.types import Caption
from service.errors import StuckError, TemporaryError
from service.inference.cache import Kept, PhotoFacts, ResultCache, photo_hash
from service.inference.engine import Engine
from service.inference.jobs import Job, Model, Task
from service.settings import Settings

Identity = tuple[str, str, str]  # a model's name, version and hash
Key = tuple[str, Identity, Task, str]


@dataclass(frozen=True)
class Work:
    """What was done for one photo.

    Attributes:
        model: The model that did it.
        photo: What is told of the photo.
        captions: What the model says of it.
        decode_seconds: How long decoding took; 0 if nothing was decoded.
        inference_seconds: How long the model took; 0 if the answer was kept.
        cached: Whether the answer was kept from an earlier request.
    """

    model: Model
    photo: PhotoFacts
    captions: Sequence[Caption]
    decode_seconds: float = 0.0
    inference_seconds: float = 0.0
    cached: bool = False


@dataclass(frozen=True)
class _Question:
    """What is asked, of which model, and where its answer is kept if it is.

    A request is answered by one model, however many come meanwhile: so every answer knows whose it is, kept ones too.
    """

    model: Model
    photo: bytes
    task: Task
    text: str
    key: Key | None


@dataclass(frozen=True)
class _Begun:
    """A photo that waits for the model."""

    question: _Question
    job: Job
    decode_seconds: float


class CaptionPipeline:
    """Where routes hand in photos.

    Args:
        engine: What the photos go through.
        settings: How the service runs.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._limits = replace(DEFAULT_LIMITS, max_bytes=settings.max_upload_bytes)
        self._cache = ResultCache(settings.cache_bytes, settings.cache_entries)
        self._most_places = settings.max_waiting

    @property
    def model(self) -> Model:
        """The model that answers now.

        Raises:
            NotReadyError: If none is loaded yet.
        """
        return self._engine.model

    def check_alive(self) -> None:
        """Look after the thread of the model; see :meth:`service.inference.engine.Engine.check_alive`."""
        self._engine.check_alive()

    def check_ready(self) -> Model:
        """Return the model that answers requests; see :meth:`service.inference.engine.Engine.check_ready`."""
        return self._engine.check_ready()

    @property
    def is_ready(self) -> bool:
        """Whether a model answers requests."""
        try:
            self._engine.check_ready()
        except (TemporaryError, StuckError):
            return False
        return True

    def caption(self, photo: bytes, task: Task, text: str = "") -> Work:
        """Do a task on one photo.

        Args:
            photo: The bytes of its file.
            task: What the model shall do.
            text: What it shall score, if that is the task.

        Raises:
            ImageError: If the photo cannot be read.
            OptionError: If the model does not know what it is told.
            TemporaryError: If too many wait already, there is no model yet, or the service is about to stop.
            DeadlinePassedError: If it took too long.
        """
        question = self._question(self._engine.choose_model(), photo, task, text)
        kept = self._look_up(question)
        if kept is not None:
            return kept
        with self._engine.admit() as deadline:
            return self._finish(self._begin(question, deadline))

    def caption_each(self, photos: Sequence[bytes], task: Task) -> tuple[Model, list[Work | Exception]]:
        """Do a task on each of several photos, which go through the model together; the results come in their order.

        Returns:
            The model that did it, and for each photo what was done, or why it was not.

        Raises:
            OptionError: If the model does not know what it is told, which is no fault of a photo.
            TemporaryError: If there is no room for all of them, no model yet, or the service is about to stop.
        """
        model = self._engine.choose_model()
        with self._engine.admit(min(len(photos), self._most_places)) as deadline:
            begun = [self._attempt(model, photo, task, deadline) for photo in photos]
            try:
                return model, [self._outcome(one) for one in begun]
            finally:
                for one in begun:
                    if isinstance(one, _Begun):
                        self._engine.cancel(one.job)  # nothing, unless an error of the options ended the wait

    def draw(
        self,
        photo: bytes,
        task: Task,
        fit: Callable[[Image], Image],
        paint: Callable[[Image, Sequence[Caption]], bytes],
    ) -> bytes:
        """Do a task on one photo and draw what came of it, in one place and time; it raises what :meth:`caption` does.

        The photo is decoded once more for that, since a photo that waits for the model is kept small.

        Args:
            photo: The bytes of its file.
            task: What the model shall do.
            fit: Makes the upright image as small as it will be drawn.
            paint: Draws the small image and the captions.
        """
        question = self._question(self._engine.choose_model(), photo, task)
        with self._engine.admit() as deadline:
            work = self._look_up(question) or self._finish(self._begin(question, deadline))
            small = self._engine.shrink(photo, fit, self._limits, deadline=deadline)
            return self._engine.draw(lambda: paint(small, work.captions), deadline=deadline)

    def _attempt(self, model: Model, photo: bytes, task: Task, deadline: float) -> "Work | _Begun | Exception":
        try:
            question = self._question(model, photo, task)
            return self._look_up(question) or self._begin(question, deadline)
        except Exception as error:  # noqa: BLE001 - one photo's mishap is not the others'
            return error

    def _outcome(self, one: "Work | _Begun | Exception") -> Work | Exception:
        if not isinstance(one, _Begun):
            return one
        try:
            return self._finish(one)
        except OptionError:
            raise
        except Exception as error:  # noqa: BLE001 - one photo's mishap is not the others'
            return error

    def _begin(self, question: _Question, deadline: float) -> _Begun:
        """Decode a photo and let it wait for the model."""
        photo, seconds = self._engine.read(question.photo, self._limits, deadline=deadline, model=question.model)
        job = self._engine.submit(photo, question.task, question.text, deadline=deadline)
        return _Begun(question, job, seconds)

    def _finish(self, begun: _Begun) -> Work:
        """Wait for the answer, and keep it."""
        photo = begun.job.photo
        done = self._engine.wait(begun.job)
        facts = PhotoFacts(photo.width, photo.height, photo.format)
        if begun.question.key is not None:
            self._cache.put(begun.question.key, Kept(facts, done.captions))
        return Work(begun.question.model, facts, done.captions, begun.decode_seconds, done.seconds)

    def _question(self, model: Model, photo: bytes, task: Task, text: str = "") -> _Question:
        keeps = self._cache.is_on and task.repeatable
        key = (photo_hash(photo), (model.name, model.version, model.sha256), task, text) if keeps else None
        return _Question(model, photo, task, text, key)

    def _look_up(self, question: _Question) -> Work | None:
        if question.key is None:
            return None
        kept = self._cache.get(question.key)
        self._engine.observer.cache(kept is not None)
        return None if kept is None else Work(question.model, kept.photo, kept.captions, cached=True)
