"""What the service needs of a model, and what it does without."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from PIL.Image import Image

from captioner.answers.answering import Answers
from captioner.decoding import DecodingOptions
from captioner.errors import OptionError
from captioner.images import DecodedPhoto, ImageLimits, decode_photo
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
    """A model as the service calls it: all of it from one thread, but for :meth:`read` and :meth:`prepare`.

    A class that inherits from it must have ``info``, ``captions`` and ``scores``; what else a model may lack is here.
    """

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

    @property
    def compiles_sizes(self) -> bool:
        """Whether the first batch of each size is slow, so that there should be few sizes, each tried at the start."""
        return True

    def read(self, data: bytes, limits: ImageLimits) -> DecodedPhoto:
        """Read an upload as the model is shown it; in any thread.

        Raises:
            ImageError: If the bytes are no usable image; see :func:`captioner.images.decode_photo`.
        """
        photo = decode_photo(data, limits)
        return replace(photo, image=self.prepare(photo.image))

    def prepare(self, image: Image) -> Image:
        """Return a picture, perhaps a smaller one, that stands for an upright RGB image; in any thread."""
        return image

    def understands(self, question: str) -> bool:  # noqa: ARG002 - of those that answer none
        """Whether the model answers questions, and knows all words of this one."""
        return False

    def answers(self, images: Sequence[Image], questions: Sequence[str], count: int) -> list[Answers]:  # noqa: ARG002
        """Return the ``count`` most probable answers to the question about each image.

        Raises:
            OptionError: If the model answers no questions, or not these.
        """
        raise OptionError("this model answers no questions")

    def caption_frames(self, frames: Sequence[Image], options: DecodingOptions) -> list[Caption]:  # noqa: ARG002
        """Return the best captions, best first, of several frames of a shot.

        Raises:
            OptionError: If the model watches no clips, or does not know what it is told.
        """
        raise OptionError("this model watches no clips")
