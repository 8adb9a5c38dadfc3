"""What all routes share: from the bytes of a photo to the result of a task, which may be that of an earlier request."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from PIL.Image import Image

from captioner.clips import WatchOptions, read_clip
from captioner.clips.options import DEFAULT_CLIP_LIMITS
from captioner.decoding import DecodingOptions
from captioner.errors import OptionError
from captioner.images import DEFAULT_LIMITS
from captioner.types import Caption
from service.inference.cache import ResultCache, photo_hash
from service.inference.engine import Engine
from service.inference.jobs import Job, Model, ModelIdentity, Photo, Result, Seconds, Task
from service.inference.watching import Watched, Watching
from service.settings import Settings

Key = tuple[str, ModelIdentity, Task]


class CaptionPipeline:
    """The way of a photo: the cache, a place, decoding, the model, and the cache again.

    A request is answered by one model, however many come meanwhile: so every result knows whose it is, cached ones too.

    Args:
        engine: What decodes the photos and runs the model.
        settings: How the service runs.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._limits = replace(DEFAULT_LIMITS, max_bytes=settings.max_upload_bytes)
        self._clip_limits = replace(DEFAULT_CLIP_LIMITS, max_bytes=settings.max_upload_bytes)
        self._cache = ResultCache(settings.cache_bytes, settings.cache_entries)
        self._most_places = settings.max_waiting

    def understands(self, question: str) -> bool:
        """Whether today's model can answer a question about photos.

        Raises:
            TemporaryError: If there is no model yet.
        """
        return self._engine.choose_model().understands(question)

    def caption(self, photo: bytes, task: Task) -> Result:
        """Do a task on one photo.

        Args:
            photo: The bytes of its file.
            task: What the model shall do.

        Raises:
            ImageError: If the photo cannot be read.
            OptionError: If the model does not know what it is told.
            TemporaryError: If too many wait already, there is no model yet, or the service is about to stop.
            DeadlinePassedError: If it took too long.
        """
        model = self._engine.choose_model()
        key = self._key(model, photo, task)
        cached = self._look_up(key)
        if cached is not None:
            return cached
        with self._engine.admit() as deadline:
            return self._finish(self._begin(model, photo, task, deadline), key)

    def caption_each(self, photos: Sequence[bytes], task: Task) -> tuple[ModelIdentity, list[Result | Exception]]:
        """Do a task on each of several photos, which go through the model together; the results come in their order.

        Returns:
            The model that did it, and for each photo its result, or why there is none.

        Raises:
            OptionError: If the model does not know what it is told, which is no fault of a photo.
            TemporaryError: If there is no room for all of them, no model yet, or the service is about to stop.
        """
        model = self._engine.choose_model()
        keys = [self._key(model, photo, task) for photo in photos]
        with self._engine.admit(min(len(photos), self._most_places)) as deadline:
            begun = [self._attempt(model, photo, task, key, deadline) for photo, key in zip(photos, keys, strict=True)]
            try:
                return model.identity, [self._outcome(one, key) for one, key in zip(begun, keys, strict=True)]
            finally:
                for one in begun:
                    if isinstance(one, Job):
                        self._engine.cancel(one)  # nothing, unless an error of the options ended the wait

    def watch(self, data: bytes, watching: WatchOptions, options: DecodingOptions) -> Watched:
        """Describe a clip shot by shot; it holds as many places as frames may be looked at, but never all for long.

        Nothing is kept of it.

        Args:
            data: The bytes of its file.
            watching: How to part it.
            options: How to search for each shot's caption.

        Raises:
            ImageError: If the clip cannot be read.
            OptionError: If the model does not know what it is told.
            TemporaryError: If too many wait already, there is no model yet, or the service is about to stop.
            DeadlinePassedError: If it took too long.
        """
        model = self._engine.choose_model()
        places = min(watching.max_shots * watching.frames, self._most_places)
        with self._engine.admit(places) as deadline:
            start = time.perf_counter()
            clip = self._engine.prepare(
                lambda: read_clip(data, watching, self._clip_limits, model.prepare), deadline=deadline
            )
            decoded = time.perf_counter() - start
            photo = Photo(clip.width, clip.height, clip.format)
            jobs = [Job(model, shot.frames[0], photo, Watching(shot.frames, options), deadline) for shot in clip.shots]
            try:
                for job in jobs:
                    self._engine.submit(job)
                results = [self._engine.wait(job) for job in jobs]
            finally:
                for job in jobs:
                    self._engine.cancel(job)  # nothing, unless an error ended the wait
            seconds = Seconds(decoded, sum(result.seconds.inference for result in results))
            return Watched(model.identity, clip, [result.captions[0] for result in results], seconds)

    def draw(
        self,
        photo: bytes,
        task: Task,
        fit: Callable[[Image], Image],
        paint: Callable[[Image, Sequence[Caption]], bytes],
    ) -> bytes:
        """Do a task on one photo and draw its result, all in one place and time; it raises what :meth:`caption` does.

        The photo is decoded once more for that, since a photo that waits for the model is kept small.

        Args:
            photo: The bytes of its file.
            task: What the model shall do.
            fit: Makes the upright image as small as it will be drawn.
            paint: Draws the small image and the captions.
        """
        model = self._engine.choose_model()
        key = self._key(model, photo, task)
        with self._engine.admit() as deadline:
            result = self._look_up(key) or self._finish(self._begin(model, photo, task, deadline), key)
            small = self._engine.shrink(photo, fit, self._limits, deadline=deadline)
            return self._engine.draw(lambda: paint(small, result.captions), deadline=deadline)

    def redraw(self, photo: bytes, fit: Callable[[Image], Image], paint: Callable[[Image], bytes]) -> bytes:
        """Draw a photo anew, which the model does not look at.

        Args:
            photo: The bytes of its file.
            fit: Makes the upright image as small as it will be drawn.
            paint: Draws it.

        Raises:
            ImageError: If the photo cannot be read.
            TemporaryError: If too many wait already, there is no model yet, or the service is about to stop.
            DeadlinePassedError: If it took too long.
        """
        with self._engine.admit() as deadline:
            small = self._engine.shrink(photo, fit, self._limits, deadline=deadline)
            return self._engine.draw(lambda: paint(small), deadline=deadline)

    def _attempt(
        self, model: Model, photo: bytes, task: Task, key: Key | None, deadline: float
    ) -> Result | Job | Exception:
        try:
            return self._look_up(key) or self._begin(model, photo, task, deadline)
        except Exception as error:  # noqa: BLE001 - one photo's mishap is not the others'
            return error

    def _outcome(self, one: Result | Job | Exception, key: Key | None) -> Result | Exception:
        if not isinstance(one, Job):
            return one
        try:
            return self._finish(one, key)
        except OptionError:
            raise
        except Exception as error:  # noqa: BLE001 - one photo's mishap is not the others'
            return error

    def _begin(self, model: Model, photo: bytes, task: Task, deadline: float) -> Job:
        """Decode a photo and let it wait for the model."""
        job = self._engine.decode(photo, task, self._limits, deadline=deadline, model=model)
        self._engine.submit(job)
        return job

    def _finish(self, job: Job, key: Key | None) -> Result:
        """Wait for the result, and keep it."""
        result = self._engine.wait(job)
        if key is not None:
            self._cache.put(key, result)
        return result

    def _key(self, model: Model, photo: bytes, task: Task) -> Key | None:
        """Return what the result is kept by; None if it is not."""
        keeps = self._cache.is_on and task.repeatable
        return (photo_hash(photo), model.identity, task) if keeps else None

    def _look_up(self, key: Key | None) -> Result | None:
        if key is None:
            return None
        cached = self._cache.get(key)
        self._engine.observer.cache(cached is not None)
        return cached
