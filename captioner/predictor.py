"""From images to captions, with a checkpoint's model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from captioner.answers.answering import Answering, Answers
from captioner.answers.header import identify_encoder
from captioner.calibration import Calibration
from captioner.config import to_dict
from captioner.decoding import MAX_LENGTH, DecodingOptions, search
from captioner.decoding.score import score
from captioner.devices import AUTO
from captioner.errors import CheckpointError, OptionError
from captioner.header import CheckpointFile, Description
from captioner.images import DEFAULT_LIMITS, DecodedPhoto, ImageLimits, ImageTransform, decode_photo
from captioner.loading import CaptioningModel, RuntimeName, open_model
from captioner.types import Caption, Features, FloatArray, Hypothesis, Word

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
    """Captions images with one model. Not thread-safe: one thread calls it, but for :meth:`read` and :meth:`prepare`.

    Args:
        checkpoint: The model and its tokenizer.
        sha256: Of the file that it was read from.

    Attributes:
        runtime: What computes the model.
        answering: What answers questions, if :meth:`load_answers` was called.
    """

    answering: Answering | None = None

    def __init__(self, checkpoint: CaptioningModel, sha256: str = "") -> None:
        description = checkpoint.description
        self.runtime = checkpoint.runtime()
        self.tokenizer = description.tokenizer
        self.calibration = description.calibration
        self.class_words = checkpoint.class_words
        self.transform = ImageTransform(description.config.image)
        self.info = _info(description, sha256)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path | None = None,
        *,
        runtime: RuntimeName = "auto",
        device: str = AUTO,
        threads: int | None = None,
    ) -> "CaptionPredictor":
        """Load a checkpoint file.

        Args:
            path: The file; ``None`` is the model shipped with the project.
            runtime: What computes it: "onnx" is ONNX Runtime, for files that ``captioner export`` wrote; "torch" is for
                any; "auto" is "onnx" where file and installation allow it, and else "torch".
            threads: CPU threads for the network; ``None`` is the runtime's choice, but no more than
                :func:`~captioner.cpus.available_cpus`.
            device: Where the network computes: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; see
                :mod:`captioner.devices`.

        Raises:
            CheckpointError: If the file cannot be used; see :func:`captioner.checkpoint.load_checkpoint`.
            OptionError: If there is no such runtime, it is not installed, or the file is not for it; or if this
                machine has no such device, or the runtime does not compute there.
        """
        return cls(*open_model(path, runtime, threads, device))

    def load_answers(self, path: str | Path | None = None, checkpoint: str | Path | None = None) -> None:
        """Let the predictor answer questions, too, by a network that sees with its encoder.

        Args:
            path: The file that answers questions; ``None`` is the one shipped with the project.
            checkpoint: The predictor's own file, which tells its encoder; ``None`` is the shipped one.

        Raises:
            CheckpointError: If a file cannot be used, or the two do not go together.
        """
        file = CheckpointFile.read(checkpoint)
        if self.info.sha256 not in ("", file.sha256):
            raise CheckpointError(f"{file.path}: was replaced since it was loaded; load the new file")
        self.answering = Answering(identify_encoder(file), self.runtime.name, path)

    @property
    def compiles_sizes(self) -> bool:
        """Whether the first batch of each size is slow, so that a service shall try all sizes before it is ready."""
        return self.runtime.compiles_sizes

    @property
    def attends(self) -> bool:
        """Whether captions come with attention."""
        return self.runtime.attends

    @property
    def place(self) -> str:
        """Where the network computes, for people: ``cpu (2 threads)``; a device's name comes first."""
        return self.runtime.place

    def caption(
        self, image: bytes | Image.Image, options: DecodingOptions = DEFAULT_OPTIONS, *, activations: bool = False
    ) -> Caption:
        """Return the best caption of one image, given as a file's bytes or as an upright RGB picture.

        Raises:
            ImageError: If the bytes are no usable image; see :meth:`read`.
        """
        return self.captions([self._picture(image)], options, activations=activations)[0][0]

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

    def read(self, data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> DecodedPhoto:
        """Read the bytes of a file as the small picture that the model looks at; may be called in any thread.

        A large JPEG is decoded at a reduced size (:func:`captioner.images.decode_photo`), in a fraction of the time
        that the photo in full would take.

        Args:
            data: The whole file.
            limits: What the photo may be.

        Returns:
            The picture, as :meth:`prepare` makes it, and the photo's own size and format.

        Raises:
            ImageError: If the bytes are no usable image.
        """
        photo = decode_photo(data, limits, self.transform.config.size)
        return replace(photo, image=self.transform.squash(photo.image, photo.box), box=None)

    def prepare(self, image: Image.Image) -> Image.Image:
        """Return a smaller picture that stands for an upright RGB image: its captions and scores are the same.

        The rest of the predictor belongs to one thread; this may be called in any, to spare that one the work and
        the memory of large photos.
        """
        return self.transform.squash(image)

    def encode(self, images: Sequence[Image.Image]) -> Features[Any]:
        """Encode a batch of upright RGB images."""
        return self.runtime.encode(self.transform.batch(images))

    def captions_of(
        self, features: Features[Any], options: DecodingOptions = DEFAULT_OPTIONS, *, activations: bool = False
    ) -> list[list[Caption]]:
        """Caption B images that are already encoded; what :meth:`captions` does after the encoder.

        If the model has class words, beam search prefers captions with the word that it finds in an image's vector.
        """
        beginning = self._beginning(options.beginning)
        memory, count = self.runtime.prepare(features), len(features.vector)
        words = self.class_words if options.search == "beam" else None
        wanted = None if words is None else words.wanted(self.runtime.vectors(features))
        found = search(self.runtime, memory, count, self.tokenizer.special, options, beginning, wanted)
        captions = [[self._caption(hypothesis, features) for hypothesis in image] for image in found]
        return self._with_activations(captions, found, memory) if activations else captions

    def score(self, image: bytes | Image.Image, text: str, *, activations: bool = False) -> Caption:
        """Return a text as if it were the caption of an image; see :meth:`scores`.

        Raises:
            ImageError: If the bytes are no usable image; see :meth:`read`.
            OptionError: If the text has no words or too many.
        """
        return self.scores([self._picture(image)], [text], activations=activations)[0]

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
        memory = self.runtime.prepare(features)
        scored = score(self.runtime, memory, [self.tokenizer.encode(text) for text in texts], special)
        found = [[hypothesis] for hypothesis in scored]
        captions = [[self._caption(one, features, words)] for one, words in zip(scored, pieces, strict=True)]
        return [only for (only,) in (self._with_activations(captions, found, memory) if activations else captions)]

    def understands(self, question: str) -> bool:
        """Whether the predictor answers questions (see :meth:`load_answers`), and knows all words of this one."""
        return self.answering is not None and self.answering.understands(question)

    def answers(self, images: Sequence[Image.Image], questions: Sequence[str], count: int = 5) -> list[Answers]:
        """Answer one question about each image.

        Args:
            images: B upright RGB images.
            questions: B questions in English.
            count: How many answers to give to each, the most probable first.

        Raises:
            OptionError: If the predictor answers no questions (see :meth:`load_answers`), a question has no words or
                too many, or the count is out of range.
        """
        if self.answering is None:
            raise OptionError("this model answers no questions; it needs a file that goes with its encoder")
        self.answering.questions(questions)  # before the encoder works for what cannot be answered
        return self.answering.answer(self.encode(images), questions, count) if images else []

    def caption_frames(
        self, frames: Sequence[Image.Image], options: DecodingOptions = DEFAULT_OPTIONS
    ) -> list[Caption]:
        """Return the best captions, best first, of several upright RGB frames of a shot, seen as one picture.

        The annotation vectors of all frames are laid end to end, so that each word attends over time and place, and
        the image vector is the mean of theirs (as videos are by Venugopalan et al. 2015, arXiv:1412.4729, and attended
        to by Yao et al. 2015, arXiv:1502.08029). Attention is ``[T, frames, rows, cols]`` and sums to one over all of a
        word. The decoder learnt from single photos: it names what is there, hardly what happens.

        Args:
            frames: At least one. One alone has the captions of that photo.
            options: How to search.

        Raises:
            OptionError: If there are no frames, the vocabulary lacks a word of the forced beginning, or the model's
                ONNX graphs are of an earlier version, which looks at one frame at a time.
        """
        if not frames:
            raise OptionError("there are no frames to caption; at least one is needed")
        found = self.encode(frames)
        [captions] = self.captions_of(_end_to_end(found), options)
        shape = (len(frames), found.rows, found.cols)
        return [
            one if one.attention is None else replace(one, attention=one.attention.reshape(-1, *shape))
            for one in captions
        ]

    def _picture(self, image: bytes | Image.Image) -> Image.Image:
        return self.read(image).image if isinstance(image, bytes) else image

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

    def _caption(self, hypothesis: Hypothesis, features: Features[Any], pieces: Sequence[str] | None = None) -> Caption:
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
        padded = np.array([[bos, *tokens, *[pad] * (longest - len(tokens))] for tokens in chain(*read)])
        arrays = self.runtime.inspect(padded, memory, self.runtime.begin(memory, rows))
        return [
            [
                replace(one, activations={name: a[image * rows + row, : len(one.words)] for name, a in arrays.items()})
                for row, one in enumerate(of_image)
            ]
            for image, of_image in enumerate(captions)
        ]


def _info(description: Description, sha256: str) -> ModelInfo:
    provenance, calibration = description.provenance, description.calibration
    details = {
        "vocabulary": len(description.tokenizer),
        **to_dict(description.config),
        "provenance": dict(provenance),
        "calibration": None if calibration is None else to_dict(calibration),
    }
    name, version = str(provenance.get("name", "unnamed")), str(provenance.get("version", "unversioned"))
    return ModelInfo(name, version, sha256, details)


def _with_confidence(caption: Caption, hypothesis: Hypothesis, calibration: Calibration) -> Caption:
    """Say how sure one can be of a caption and its words; of a text with unknown words, only of the known ones."""
    each, whole = calibration.confidences(caption.words, hypothesis.tokens, hypothesis.token_logprobs)
    words = tuple(replace(word, confidence=value) for word, value in zip(caption.words, each, strict=True))
    needs_review = None if whole is None else whole < calibration.caption.review_below
    return replace(caption, words=words, confidence=whole, needs_review=needs_review)


def _end_to_end(features: Features[Any]) -> Features[Any]:
    """Return what is seen of F frames as if they were one picture, whose grid has F times as many rows."""
    frames, vector, grid = len(features.vector), features.vector[None].mean(1), features.grid  # [1, P]
    laid = None if grid is None else grid.reshape(1, -1, grid.shape[-1])  # [1, F * L, D]
    return Features(vector, laid, frames * features.rows, features.cols)


def _maps(attention: FloatArray | None, words: int, features: Features[Any]) -> FloatArray | None:
    """Shape the weights ``[T, L]`` of the words as maps ``[T, rows, cols]``."""
    return None if attention is None else attention[:words].reshape(words, features.rows, features.cols)
