"""What self-critical training rewards: CIDEr-D, and shares of BLEU-4 and ROUGE-L if asked for."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.rouge.rouge import Rouge

Ngram = tuple[str, ...]
ORDERS = 4
SIGMA = 6.0  # of the length penalty, in words
ENDING = "<END>"  # as a word; no tokenizer makes such a word


@dataclass(frozen=True)
class _Vector:
    """A caption as CIDEr sees it: weights of its n-grams, their norm, for each n; and its length in bigrams."""

    weights: tuple[dict[Ngram, float], ...]
    norms: tuple[float, ...]
    length: int


class CiderD:
    """CIDEr-D (Vedantam et al. 2015) of single captions, with the document frequencies of a whole training set.

    It equals pycocoevalcap's score of the same captions over the same references; the references' vectors are computed
    once here, since training asks for thousands of captions of the same images.

    Args:
        references: Captions of every image of the training set, as words.
    """

    def __init__(self, references: Mapping[int, Sequence[Sequence[str]]]) -> None:
        counted = {image: [_count(words) for words in captions] for image, captions in references.items()}
        self._frequency = Counter(ngram for captions in counted.values() for ngram in set().union(*captions))
        self._log_images = math.log(len(references))
        self._references = {image: [self._vector(counts) for counts in captions] for image, captions in counted.items()}

    def __call__(self, image: int, caption: Sequence[str]) -> float:
        """Return the score of a caption, between 0 and 10."""
        vector = self._vector(_count(caption))
        references = self._references[image]
        return 10 * sum(_similarity(vector, reference) for reference in references) / len(references)

    def _vector(self, counts: Counter[Ngram]) -> _Vector:
        weights: tuple[dict[Ngram, float], ...] = tuple({} for _ in range(ORDERS))
        for ngram, count in counts.items():
            idf = self._log_images - math.log(max(1, self._frequency[ngram]))
            weights[len(ngram) - 1][ngram] = count * idf
        norms = tuple(math.sqrt(sum(weight * weight for weight in order.values())) for order in weights)
        return _Vector(weights, norms, sum(count for ngram, count in counts.items() if len(ngram) == 2))


def _count(words: Sequence[str]) -> Counter[Ngram]:
    return Counter(
        tuple(words[start : start + order]) for order in range(1, ORDERS + 1) for start in range(len(words) - order + 1)
    )


def _similarity(caption: _Vector, reference: _Vector) -> float:
    """Return the mean over n of the clipped cosines, less for another length."""
    cosines = 0.0
    for order in range(ORDERS):
        norm = caption.norms[order] * reference.norms[order]
        if norm:
            others = reference.weights[order]
            shared = ((weight, others[ngram]) for ngram, weight in caption.weights[order].items() if ngram in others)
            cosines += sum(min(weight, other) * other for weight, other in shared) / norm
    return math.exp(-((caption.length - reference.length) ** 2) / (2 * SIGMA**2)) * cosines / ORDERS


class Reward:
    """What a sampled caption is worth: ``CIDEr-D + bleu * BLEU-4 + rouge * ROUGE-L``.

    The ending counts as a word of captions and references, so that a caption cut before its end, or ended after "with
    a", shares fewer n-grams with them.

    Args:
        references: Captions of every image of the training set, as words.
    """

    def __init__(self, references: Mapping[int, Sequence[Sequence[str]]]) -> None:
        ended = {image: [[*words, ENDING] for words in captions] for image, captions in references.items()}
        self._cider = CiderD(ended)
        self._texts = {image: [" ".join(words) for words in captions] for image, captions in ended.items()}

    def __call__(
        self, images: Sequence[int], captions: Sequence[Sequence[str]], bleu: float = 0.0, rouge: float = 0.0
    ) -> list[float]:
        """Return the rewards of captions.

        Args:
            images: The image of each caption.
            captions: Words; a finished caption ends with ``ENDING``.
            bleu: The weight of BLEU-4.
            rouge: The weight of ROUGE-L.
        """
        rewards = [self._cider(image, caption) for image, caption in zip(images, captions, strict=True)]
        for weight, measure in ((bleu, self._sentence_bleu), (rouge, self._rouge_l)):
            if weight:
                extras = measure(images, captions)
                rewards = [reward + weight * extra for reward, extra in zip(rewards, extras, strict=True)]
        return rewards

    def _sentence_bleu(self, images: Sequence[int], captions: Sequence[Sequence[str]]) -> list[float]:
        scorer = BleuScorer(n=ORDERS)
        for image, caption in zip(images, captions, strict=True):
            scorer += (" ".join(caption), self._texts[image])
        _, by_caption = scorer.compute_score(option="closest", verbose=0)
        found: list[float] = by_caption[ORDERS - 1]
        return found

    def _rouge_l(self, images: Sequence[int], captions: Sequence[Sequence[str]]) -> list[float]:
        score = Rouge().calc_score
        return [score([" ".join(caption)], self._texts[image]) for image, caption in zip(images, captions, strict=True)]
