"""From images to captions, with a checkpoint's model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from captioner.calibration import Calibration, caption_features
from captioner.checkpoint import Checkpoint, load_with_sha256
from captioner.config import to_dict
from captioner.cpus import available_cpus
from captioner.decoding import MAX_LENGTH, DecodingOptions, search
from captioner.decoding.score import score
from captioner.errors import OptionError
from captioner.images import ImageTransform, read_image
from captioner.types import Caption, Features, Hypothesis, Word

DEFAULT_OPTIONS = DecodingOptions()


@dataclass(frozen=True)
class ModelInfo:
    """How a model calls itself, and what it is.

    Attributes:
        name: Its name.
        version: Its version.
        sha256: Of the checkpoint's file, in hex; empty for a model that was not read from a file.
        details: ``vocabulary``, how many tokens it knows; ``image``, ``encoder`` and ``decoder``, its configuration;
            ``provenance``; and ``calibration``, or None. All are values that JSON knows.
    """

    name: str
    version: str
    sha256: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class CaptionPredictor:
    """Captions images with one model. Not thread-safe: call it from one thread, but for :meth:`prepare`.

    Args:
        checkpoint: The model and its tokenizer.
        sha256: Of the file that it was read from.
    """

    def __init__(self, checkpoint: Checkpoint, sha256: str = "") -> None:
        self.model = checkpoint.model.eval()
        self.model.encoder.to(memory_format=torch.channels_last)  # a fifth faster on CPUs: 24 ms in place of 30
        self.tokenizer = checkpoint.tokenizer
        self.calibration = checkpoint.calibration
        self.transform = ImageTransform(checkpoint.model.config.image)
        self.info = _info(checkpoint, sha256)

    @classmethod
    def from_checkpoint(cls, path: str | Path | None = None, *, threads: int | None = None) -> "CaptionPredictor":
        """Load a checkpoint file.

        Args:
            path: The file; ``None`` is the model shipped with the project.
            threads: CPU threads for the network; ``None`` is torch's choice, but no more than
                :func:`~captioner.cpus.available_cpus`.

        Raises:
            CheckpointError: If the file cannot be used; see :func:`captioner.checkpoint.load_checkpoint`.
        """
        if threads is None:
            threads = min(torch.get_num_threads(), available_cpus())  # torch knows nothing of a container's limits
        torch.set_num_threads(threads)
        return cls(*load_with_sha256(path))

    def caption(
        self, image: bytes | Image.Image, options: DecodingOptions = DEFAULT_OPTIONS, *, activations: bool = False
    ) -> Caption:
        """Return the best caption of one image, given as a file's bytes or as an upright RGB picture.

        Raises:
            ImageError: If the bytes are no usable image; see :func:`captioner.images.read_image`.
        """
        return self.captions([_picture(image)], options, activations=activations)[0][0]

    @torch.inference_mode()
    def captions(
        self,
        images: Sequence[Image.Image],
        options: DecodingOptions = DEFAULT_OPTIONS,
        *,
        activations: bool = False,
    ) -> list[list[Caption]]:
        """Caption a batch of upright RGB images together.

        Args:
            images: The images.
            options: How to search.
            activations: Whether each caption shall say what went on in every unit of the decoder.

        Returns:
            For each image its ``options.num_captions`` best captions, best first.

        Raises:
            OptionError: If the vocabulary lacks a word of the forced beginning.
        """
        if not images:
            return []
        return self.captions_of(self.encode(images), options, activations=activations)

    def prepare(self, image: Image.Image) -> Image.Image:
        """Return a smaller picture that stands for an upright RGB image: its captions and scores are the same.

        The rest of the predictor belongs to one thread; this may be called in any, to spare that one the work and
        the memory of large photos.
        """
        return self.transform.squash(image)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image.Image]) -> Features:
        """Encode a batch of upright RGB images."""
        features: Features = self.model(self.transform.batch(images).to(self.model.decoder.device))
        return features

    @torch.inference_mode()
    def captions_of(
        self, features: Features, options: DecodingOptions = DEFAULT_OPTIONS, *, activations: bool = False
    ) -> list[list[Caption]]:
        """Caption B images that are already encoded; what :meth:`captions` does after the encoder."""
        beginning = self._beginning(options.beginning)
        memory = self.model.decoder.prepare(features)
        found = search(self.model.decoder, memory, len(features.vector), self.tokenizer.special, options, beginning)
        captions = [[self._caption(hypothesis, features) for hypothesis in image] for image in found]
        return self._with_activations(captions, found, memory) if activations else captions

    def score(self, image: bytes | Image.Image, text: str, *, activations: bool = False) -> Caption:
        """Return a text as if it were the caption of an image; see :meth:`scores`.

        Raises:
            ImageError: If the bytes are no usable image; see :func:`captioner.images.read_image`.
            OptionError: If the text has no words or too many.
        """
        return self.scores([_picture(image)], [text], activations=activations)[0]

    @torch.inference_mode()
    def scores(
        self, images: Sequence[Image.Image], texts: Sequence[str], *, activations: bool = False
    ) -> list[Caption]:
        """Score one text per image: how likely the model finds it, and where it would look for each word.

        The numbers are those that search reports for the same caption, the ending's log-probability included. A word
        that the vocabulary lacks is scored as ``<UNK>``, and says so.

        Args:
            images: B upright RGB images.
            texts: B texts.
            activations: Whether each caption shall say what went on in every unit of the decoder.

        Raises:
            OptionError: If a text has no words or too many.
        """
        pieces = [self._split(text) for text in texts]
        if not images:
            return []
        features, special = self.encode(images), self.tokenizer.special
        memory = self.model.decoder.prepare(features)
        scored = score(self.model.decoder, memory, [self.tokenizer.encode(text) for text in texts], special)
        found = [[hypothesis] for hypothesis in scored]
        captions = [[self._caption(one, features, words)] for one, words in zip(scored, pieces, strict=True)]
        return [only for (only,) in (self._with_activations(captions, found, memory) if activations else captions)]

    def _split(self, text: str) -> list[str]:
        pieces = self.tokenizer.split(text)
        if not 1 <= len(pieces) <= MAX_LENGTH:
            raise OptionError(f"the text {text!r:.60} has {len(pieces)} words; it must have between 1 and {MAX_LENGTH}")
        return pieces

    def _beginning(self, text: str) -> list[int]:
        unknown = [piece for piece in self.tokenizer.split(text) if not self.tokenizer.knows(piece)]
        if unknown:
            raise OptionError(f"beginning: the model does not know {', '.join(map(repr, unknown))}; use other words")
        return self.tokenizer.encode(text)

    def _caption(self, hypothesis: Hypothesis, features: Features, pieces: Sequence[str] | None = None) -> Caption:
        """Say a hypothesis in words: in the vocabulary's, or in those of the text that was scored."""
        texts = pieces or self.tokenizer.words(hypothesis.tokens)
        columns = zip(texts, hypothesis.token_logprobs, hypothesis.tokens, strict=False)  # without the ending
        words = tuple(Word(text, log_prob, token != self.tokenizer.unk_id) for text, log_prob, token in columns)
        caption = Caption(
            text=self.tokenizer.join(texts),
            words=words,
            log_prob=hypothesis.log_prob,
            attention=_maps(hypothesis.attention, len(words), features),
            finished=hypothesis.finished,
        )
        return caption if self.calibration is None else _with_confidence(caption, hypothesis, self.calibration)

    def _with_activations(
        self, captions: Sequence[Sequence[Caption]], found: Sequence[Sequence[Hypothesis]], memory: Any
    ) -> list[list[Caption]]:
        """Read the captions of B images once more, to see what goes on inside for each word."""
        rows = max(map(len, found))
        read = [[one.tokens[:-1] for one in image] + [()] * (rows - len(image)) for image in found]
        longest = max(len(tokens) for tokens in chain(*read))
        bos, pad = self.tokenizer.bos_id, self.tokenizer.pad_id
        padded = torch.tensor([[bos, *tokens, *[pad] * (longest - len(tokens))] for tokens in chain(*read)])
        decoder = self.model.decoder
        record = decoder.inspect(padded.to(decoder.device), memory, decoder.begin(memory, rows))
        arrays = {name: values.float().cpu().numpy() for name, values in record.items()}
        return [
            [
                replace(one, activations={name: a[image * rows + row, : len(one.words)] for name, a in arrays.items()})
                for row, one in enumerate(of_image)
            ]
            for image, of_image in enumerate(captions)
        ]


def _info(checkpoint: Checkpoint, sha256: str) -> ModelInfo:
    provenance, calibration = checkpoint.provenance, checkpoint.calibration
    details = {
        "vocabulary": len(checkpoint.tokenizer),
        **to_dict(checkpoint.model.config),
        "provenance": dict(provenance),
        "calibration": None if calibration is None else to_dict(calibration),
    }
    name, version = str(provenance.get("name", "unnamed")), str(provenance.get("version", "unversioned"))
    return ModelInfo(name, version, sha256, details)


def _with_confidence(caption: Caption, hypothesis: Hypothesis, calibration: Calibration) -> Caption:
    """Say how sure one can be of a caption and its words; of a text with unknown words, only of the known ones."""
    log_probs = hypothesis.token_logprobs
    sure = calibration.words(caption.words, hypothesis.tokens, log_probs)
    words = tuple(replace(word, confidence=value) for word, value in zip(caption.words, sure, strict=True))
    if not all(word.known for word in words):
        return replace(caption, words=words)
    confidence = calibration.caption(caption_features(hypothesis.tokens[: len(words)], log_probs))
    needs_review = confidence < calibration.caption.review_below
    return replace(caption, words=words, confidence=confidence, needs_review=needs_review)


def _picture(image: bytes | Image.Image) -> Image.Image:
    return read_image(image) if isinstance(image, bytes) else image


def _maps(attention: Tensor | None, words: int, features: Features) -> NDArray[np.float32] | None:
    """Shape the weights ``[T, L]`` of the words as maps ``[T, rows, cols]``."""
    if attention is None:
        return None
    maps: NDArray[np.float32] = attention[:words].reshape(words, features.rows, features.cols).numpy()
    return maps
