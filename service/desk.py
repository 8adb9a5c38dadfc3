"""From the bytes of a photo to what the model says of it: decoding, the queue, and answers that are kept."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL.Image import Image

from captioner.decoding import DecodingOptions
from captioner.errors import OptionError
from captioner.images import DEFAULT_LIMITS, read_image
from captioner.types import Caption
from service.batching import Inference, InferenceThread, ModelInfo
from service.observer import Observer
from service.result_cache import Kept, PhotoFacts, ResultCache, photo_hash
from service.settings import Settings


@dataclass(frozen=True)
class CaptionTask:
    """To find captions."""

    options: DecodingOptions
    activations: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether the same photo gets the same answer again."""
        return self.options.search != "sample" or self.options.seed is not None

    def run(self, inference: InferenceThread, image: Image) -> Inference:
        """Have the model do it, and wait."""
        return inference.captions(image, self.options, activations=self.activations)


@dataclass(frozen=True)
class ScoreTask:
    """To score a text."""

    text: str
    activations: bool = False
    repeatable = True

    def run(self, inference: InferenceThread, image: Image) -> Inference:
        """Have the model do it, and wait."""
        return inference.score(image, self.text, activations=self.activations)


Task = CaptionTask | ScoreTask
Identity = tuple[str, str, str]  # a model's name, version and hash
Key = tuple[str, Identity, Task]


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

    model: ModelInfo
    photo: PhotoFacts
    captions: Sequence[Caption]
    decode_seconds: float = 0.0
    inference_seconds: float = 0.0
    cached: bool = False


class Desk:
    """What all routes share.

    Args:
        inference: The thread of the model.
        settings: How the service runs.
        observer: Hears of decoding and of kept replies.
    """

    def __init__(self, inference: InferenceThread, settings: Settings, observer: Observer) -> None:
        self._inference = inference
        self._limits = replace(DEFAULT_LIMITS, max_bytes=settings.max_upload_bytes)
        self._cache = ResultCache(settings.cache_bytes, settings.cache_entries)
        self._observer = observer

    @property
    def model(self) -> ModelInfo:
        """The model that answers now."""
        return self._inference.info

    def do(self, photo: bytes, task: Task) -> Work:
        """Do a task on one photo.

        Raises:
            ImageError: If the photo cannot be read.
            OptionError: If the model does not know what it is told.
            BusyError: If too many wait already.
        """
        key = self._key(photo, task)
        kept = self._look_up(key)
        if kept is not None:
            return kept
        with self._inference.place():
            return self._work(photo, task, key)[0]

    def do_each(self, photos: Sequence[bytes], task: Task) -> list[Work | Exception]:
        """Do a task on each of several photos, which hold one place together, and in whose order the results come.

        They are done one after the other: this is the one place to hand several of them to the model at once.

        Returns:
            For each photo what was done, or why it was not.

        Raises:
            OptionError: If the model does not know what it is told, which is no fault of a photo.
            BusyError: If too many wait already.
        """
        with self._inference.place():
            return [self._attempt(photo, task) for photo in photos]

    def do_with_image(self, photo: bytes, task: Task) -> tuple[Work, Image]:
        """Do a task on one photo and return the upright image, too; it raises what :meth:`do` does."""
        with self._inference.place():
            key = self._key(photo, task)
            kept = self._look_up(key)
            if kept is not None:
                return kept, self._decode(photo)[0]
            return self._work(photo, task, key)

    def _attempt(self, photo: bytes, task: Task) -> Work | Exception:
        key = self._key(photo, task)
        try:
            return self._look_up(key) or self._work(photo, task, key)[0]
        except OptionError:
            raise
        except Exception as error:  # noqa: BLE001 - one photo's mishap is not the others'
            return error

    def _work(self, photo: bytes, task: Task, key: Key | None) -> tuple[Work, Image]:
        image, decode_seconds = self._decode(photo)
        model = self.model
        done = task.run(self._inference, image)
        facts = PhotoFacts(image.width, image.height, image.format)
        if key is not None and self._identity() == key[1]:  # and not another model than it was looked up for
            self._cache.put(key, Kept(facts, done.captions))
        return Work(model, facts, done.captions, decode_seconds, done.seconds), image

    def _decode(self, photo: bytes) -> tuple[Image, float]:
        start = time.perf_counter()
        image = read_image(photo, self._limits)
        seconds = time.perf_counter() - start
        self._observer.decoded(seconds)
        return image, seconds

    def _key(self, photo: bytes, task: Task) -> Key | None:
        if not (self._cache.is_on and task.repeatable):
            return None
        return photo_hash(photo), self._identity(), task

    def _identity(self) -> Identity:
        model = self.model
        return model.name, model.version, model.sha256

    def _look_up(self, key: Key | None) -> Work | None:
        if key is None:
            return None
        kept = self._cache.get(key)
        self._observer.cache(kept is not None)
        return None if kept is None else Work(self.model, kept.photo, kept.captions, cached=True)
