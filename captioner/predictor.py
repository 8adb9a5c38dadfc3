"""From images to captions, with a checkpoint's model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from captioner.checkpoint import Checkpoint, load_checkpoint
from captioner.decoding import DecodingOptions
from captioner.images import ImageTransform, read_image
from captioner.tokenizers.word import join_words
from captioner.types import Caption, Features, Hypothesis, Word

DEFAULT_OPTIONS = DecodingOptions()


@dataclass(frozen=True)
class ModelInfo:
    """How a model calls itself."""

    name: str
    version: str


class CaptionPredictor:
    """Captions images with one model. Not thread-safe: call it from one thread.

    Args:
        checkpoint: The model and its tokenizer.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.model = checkpoint.model.eval()
        self.tokenizer = checkpoint.tokenizer
        self.transform = ImageTransform(checkpoint.model.config.image)
        provenance = checkpoint.provenance
        self.info = ModelInfo(str(provenance.get("name", "unnamed")), str(provenance.get("version", "unversioned")))

    @classmethod
    def from_checkpoint(cls, path: str | Path | None = None, *, threads: int | None = None) -> "CaptionPredictor":
        """Load a checkpoint file.

        Args:
            path: The file; ``None`` is the model shipped with the project.
            threads: CPU threads for the network; ``None`` leaves torch's choice.

        Raises:
            CheckpointError: If the file cannot be used; see :func:`captioner.checkpoint.load_checkpoint`.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        return cls(load_checkpoint(path))

    def caption(self, image: bytes | Image.Image, options: DecodingOptions = DEFAULT_OPTIONS) -> Caption:
        """Return the best caption of one image, given as a file's bytes or as an upright RGB picture.

        Raises:
            ImageError: If the bytes are no usable image; see :func:`captioner.images.read_image`.
        """
        picture = read_image(image) if isinstance(image, bytes) else image
        return self.captions([picture], options)[0][0]

    @torch.inference_mode()
    def captions(
        self, images: Sequence[Image.Image], options: DecodingOptions = DEFAULT_OPTIONS
    ) -> list[list[Caption]]:
        """Caption a batch of upright RGB images together.

        Returns:
            For each image its ``options.num_captions`` best captions, best first.
        """
        if not images:
            return []
        return self.captions_of(self.encode(images), options)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image.Image]) -> Features:
        """Encode a batch of upright RGB images."""
        features: Features = self.model(self.transform.batch(images))
        return features

    @torch.inference_mode()
    def captions_of(self, features: Features, options: DecodingOptions = DEFAULT_OPTIONS) -> list[list[Caption]]:
        """Caption B images that are already encoded; what :meth:`captions` does after the encoder."""
        found = self.model.search(features, self.tokenizer.special, options)
        return [[self._caption(hypothesis, features) for hypothesis in hypotheses] for hypotheses in found]

    def _caption(self, hypothesis: Hypothesis, features: Features) -> Caption:
        texts = self.tokenizer.words(hypothesis.tokens)
        log_probs = hypothesis.token_logprobs[: len(texts)]
        return Caption(
            text=join_words(texts),
            words=tuple(map(Word, texts, log_probs)),
            log_prob=hypothesis.log_prob,
            attention=_maps(hypothesis.attention, len(texts), features),
            finished=hypothesis.finished,
        )


def _maps(attention: Tensor | None, words: int, features: Features) -> NDArray[np.float32] | None:
    """Shape the weights ``[T, L]`` of the words as maps ``[T, rows, cols]``."""
    if attention is None:
        return None
    maps: NDArray[np.float32] = attention[:words].reshape(words, features.rows, features.cols).numpy()
    return maps
