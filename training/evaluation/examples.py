"""What captions of photos with references teach about confidence: words that are right, captions that are good."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from captioner.calibration import caption_features, word_features
from captioner.tokenizers import Tokenizer
from captioner.types import Caption
from training.data import CaptionedImage

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """What captions of I photos with W words teach about confidence.

    Attributes:
        photo: ``[W]``, the row of each word's photo.
        features: ``[W, 4]``, as ``captioner.calibration.FEATURES`` names them.
        right: ``[W]``, 1 for a word that is right, else 0.
        caption_features: ``[I, 2]``, as ``captioner.calibration.CAPTION_FEATURES`` names them.
        cider: ``[I]``, CIDEr-D of each caption.
    """

    photo: NDArray[np.intp]
    features: Array
    right: Array
    caption_features: Array
    cider: Array

    def of(self, photos: NDArray[np.bool_]) -> "Examples":
        """Return the examples of the photos that a mask ``[I]`` chooses."""
        words = photos[self.photo]
        rows = np.cumsum(photos) - 1
        return Examples(
            rows[self.photo[words]],
            self.features[words],
            self.right[words],
            self.caption_features[photos],
            self.cider[photos],
        )


def right_words(words: Sequence[str], references: Sequence[Sequence[str]], agreement: int) -> list[bool]:
    """Say which words of a caption are right: enough people used them, as often as the caption has so far.

    As in BLEU's clipped precision, the second "brown" of a caption is right only if references have "brown" twice.

    Args:
        words: The caption's words.
        references: The words of each reference.
        agreement: How many references must have a word; all, if there are fewer.
    """
    counts = [Counter(reference) for reference in references]
    needed, said, right = min(agreement, len(counts)), Counter[str](), []
    for word in words:
        said[word] += 1
        right.append(sum(count[word] >= said[word] for count in counts) >= needed)
    return right


def make_examples(
    images: Sequence[CaptionedImage],
    captions: Sequence[Caption],
    cider: Sequence[float],
    tokenizer: Tokenizer,
    agreement: int,
) -> Examples:
    """Turn captions into examples; words are cut as the model's tokenizer cuts.

    Args:
        images: I photos and their references.
        captions: The model's best caption of each.
        cider: CIDEr-D of each caption.
        tokenizer: The model's.
        agreement: How many references must have a right word.
    """
    photo, features, right, whole = [], [], [], []
    for row, (image, caption) in enumerate(zip(images, captions, strict=True)):
        words = [word.text for word in caption.words]
        log_probs = _token_log_probs(caption)
        tokens = [token for text in words for token in tokenizer.encode(text)]
        references = [tokenizer.split(text) for text in image.captions]
        photo += [row] * len(words)
        features.append(word_features(tokens, log_probs))
        right += right_words(words, references, agreement)
        whole.append(caption_features(features[-1], log_probs))
    return Examples(
        np.array(photo, dtype=np.intp),
        np.concatenate(features),
        np.array(right, dtype=np.float64),
        np.array(whole),
        np.array(cider, dtype=np.float64),
    )


def _token_log_probs(caption: Caption) -> list[float]:
    """Return the log-probability of each word, and of the ending if the caption has one."""
    words = [word.log_prob for word in caption.words]
    return [*words, caption.log_prob - sum(words)] if caption.finished else words


def first_half(image_ids: Sequence[int]) -> NDArray[np.bool_]:
    """Choose about half of the photos, by a hash of their ids, so that a photo stays on its side."""
    return np.array([hashlib.sha256(str(image).encode()).digest()[-1] % 2 == 0 for image in image_ids], dtype=bool)
