"""What requests have the model do with a clip: a task for each of its shots, and what came of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from PIL.Image import Image

from captioner.clips import Clip
from captioner.decoding import DecodingOptions
from captioner.types import Caption
from service.inference.jobs import ModelIdentity, Seconds, Task
from service.inference.predictor import Predictor


@dataclass(frozen=True, eq=False)
class Watching:
    """Several frames of a shot are captioned as one picture; each shot goes through the model alone.

    Attributes:
        frames: What the model is shown, small.
        options: How to search.
    """

    frames: Sequence[Image]
    options: DecodingOptions
    repeatable: ClassVar[bool] = False

    def goes_with(self, other: Task) -> bool:
        """Return whether the two can run in one batch: only if they are one, since a shot is as much as a batch."""
        return self is other

    def run(
        self,
        predictor: Predictor,
        pictures: Sequence[Image],  # noqa: ARG002 - of which there is one, the first frame
        tasks: Sequence["Watching"],
    ) -> list[list[Caption]]:
        """Return the best caption of each shot.

        Raises:
            OptionError: If the model watches no clips.
        """
        return [predictor.caption_frames(task.frames, task.options)[:1] for task in tasks]


@dataclass(frozen=True)
class Watched:
    """What a model says of a clip.

    Attributes:
        model: The model that said it.
        clip: The clip, without its frames.
        captions: That of each of its shots.
        seconds: How long it took.
    """

    model: ModelIdentity
    clip: Clip
    captions: Sequence[Caption]
    seconds: Seconds
