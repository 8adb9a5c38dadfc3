"""What all routes share: from the bytes of a photo to what the model says of it, which may have been kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL.Image import Image

from captioner.errors import OptionError
from captioner.images import DEFAULT_LIMITS
from captioner.types import Caption
from service.engine import Engine
from service.errors import ComeAgainError, StuckError
from service.result_cache import Kept, PhotoFacts, ResultCache, photo_hash
from service.settings import Settings
from service.work import Job, Model, Task

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
class _Begun:
    """A photo that waits for the model, and where its answer will be kept."""

    job: Job
    decode_seconds: float
    key: Key | None


class Desk:
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
        """Look after the thread of the model; see :meth:`service.engine.Engine.check_alive`."""
        self._engine.check_alive()

    def check_ready(self) -> Model:
        """Return the model that answers requests; see :meth:`service.engine.Engine.check_ready`."""
        return self._engine.check_ready()

    @property
    def is_ready(self) -> bool:
        """Whether a model answers requests."""
        try:
            self._engine.check_ready()
        except (ComeAgainError, StuckError):
            return False
        return True

    def do(self, photo: bytes, task: Task, text: str = "") -> Work:
        """Do a task on one photo.

        Args:
            photo: The bytes of its file.
            task: What the model shall do.
            text: What it shall score, if that is the task.

        Raises:
            ImageError: If the photo cannot be read.
            OptionError: If the model does not know what it is told.
            ComeAgainError: If too many wait already, there is no model yet, or the service is about to stop.
            DeadlinePassedError: If it took too long.
        """
        key = self._key(photo, task, text)
        kept = self._look_up(key)
        if kept is not None:
            return kept
        with self._engine.place() as deadline:
            return self._finish(self._begin(photo, task, text, key, deadline))

    def do_each(self, photos: Sequence[bytes], task: Task) -> list[Work | Exception]:
        """Do a task on each of several photos, which go through the model together; the results come in their order.

        Returns:
            For each photo what was done, or why it was not.

        Raises:
            OptionError: If the model does not know what it is told, which is no fault of a photo.
            ComeAgainError: If there is no room for all of them, no model yet, or the service is about to stop.
        """
        with self._engine.place(min(len(photos), self._most_places)) as deadline:
            begun = [self._attempt(photo, task, deadline) for photo in photos]
            try:
                return [self._outcome(one) for one in begun]
            finally:
                for one in begun:
                    if isinstance(one, _Begun):
                        self._engine.cancel(one.job)  # nothing, unless an error of the options ended the wait

    def do_with_image(self, photo: bytes, task: Task) -> tuple[Work, Image]:
        """Do a task on one photo and return the upright image, too; it raises what :meth:`do` does.

        The photo is decoded once more for that, since a photo that waits for the model is kept small.
        """
        key = self._key(photo, task, "")
        with self._engine.place() as deadline:
            work = self._look_up(key) or self._finish(self._begin(photo, task, "", key, deadline))
            return work, self._engine.decode(photo, self._limits, deadline=deadline)

    def _attempt(self, photo: bytes, task: Task, deadline: float) -> "Work | _Begun | Exception":
        try:
            key = self._key(photo, task, "")
            return self._look_up(key) or self._begin(photo, task, "", key, deadline)
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

    def _begin(self, data: bytes, task: Task, text: str, key: Key | None, deadline: float) -> _Begun:
        """Decode a photo and let it wait for the model."""
        photo, seconds = self._engine.read(data, self._limits, deadline=deadline)
        # The key is that of the model that looks at the photo, which may be newer than the one that was looked up for.
        key = None if key is None else (key[0], _identity(photo.model), task, text)
        return _Begun(self._engine.submit(photo, task, text, deadline=deadline), seconds, key)

    def _finish(self, begun: _Begun) -> Work:
        """Wait for the answer, and keep it."""
        photo = begun.job.photo
        done = self._engine.wait(begun.job)
        facts = PhotoFacts(photo.width, photo.height, photo.format)
        if begun.key is not None:
            self._cache.put(begun.key, Kept(facts, done.captions))
        return Work(photo.model, facts, done.captions, begun.decode_seconds, done.seconds)

    def _key(self, photo: bytes, task: Task, text: str) -> Key | None:
        if not (self._cache.is_on and task.repeatable):
            return None
        return photo_hash(photo), _identity(self.model), task, text

    def _look_up(self, key: Key | None) -> Work | None:
        if key is None:
            return None
        kept = self._cache.get(key)
        self._engine.observer.cache(kept is not None)
        return None if kept is None else Work(self.model, kept.photo, kept.captions, cached=True)


def _identity(model: Model) -> Identity:
    return model.name, model.version, model.sha256
