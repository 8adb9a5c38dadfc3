"""Which words are concepts, and which photos have them."""

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from training.concepts.recipe import WordsRecipe
from training.data import CaptionedImage
from training.errors import DataError

Split = Callable[[str], list[str]]


def choose_words(images: Sequence[CaptionedImage], split: Split, recipe: WordsRecipe) -> list[str]:
    """Return the concepts, those of the most photos first, words of as many in alphabetical order.

    Raises:
        DataError: If no word is in the captions of enough photos.
    """
    photos = Counter(word for image in images for word in {word for text in image.captions for word in split(text)})
    without = set(recipe.without)
    found = sorted((-count, word) for word, count in photos.items() if word not in without)
    words = [word for count, word in found[: recipe.most] if -count >= recipe.least_photos]
    if not words:
        raise DataError(f"no word is in the captions of {recipe.least_photos} photos; lower words.least_photos")
    return words


def count_words(images: Sequence[CaptionedImage], split: Split, words: Sequence[str]) -> Tensor:
    """Return how many captions of each of I photos have each of K words, ``[I, K]``."""
    column = {word: index for index, word in enumerate(words)}
    counts = torch.zeros(len(images), len(words))
    for row, image in enumerate(images):
        for text in image.captions:
            for word in column.keys() & set(split(text)):
                counts[row, column[word]] += 1
    return counts


def captions_each(images: Sequence[CaptionedImage]) -> Tensor:
    """Return how many captions each of I photos has, ``[I, 1]``."""
    return torch.tensor([[float(len(image.captions))] for image in images])


def mean_average_precision(scores: Tensor, present: Tensor, least: int = 5) -> float:
    """Return the mean over concepts of the average precision.

    The average precision of a concept is the mean, over the photos that have it, of the precision among all photos
    that score at least as high (Everingham et al. 2010, without their interpolation).

    Args:
        scores: ``[I, K]``; photos are ranked by them, ties by their order.
        present: ``[I, K]``, true where a photo has a concept.
        least: Concepts of fewer photos do not count; 0 is returned if no concept is left.
    """
    ranked = present.gather(0, scores.argsort(dim=0, descending=True, stable=True)).double()
    found = ranked.cumsum(dim=0)
    ranks = found.new_ones(len(found)).cumsum(dim=0).unsqueeze(1)
    photos = ranked.sum(dim=0)
    counted = photos >= max(least, 1)
    averages = (found / ranks * ranked).sum(dim=0)[counted] / photos[counted]
    return float(averages.mean()) if len(averages) else 0.0
