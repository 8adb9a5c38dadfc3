"""Caption scores as COCO's evaluation gives them: BLEU, ROUGE-L and CIDEr-D, after PTB tokenization."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.cider.cider_scorer import precook
from pycocoevalcap.rouge.rouge import Rouge

from captioner.errors import CaptionerError
from training.evaluation.ptb import Engine, ptb_tokenize

ORDERS = 4
ALWAYS_ZERO = (
    "CIDEr over these photos can only be 0, whatever a caption says: it counts the words by which a photo's captions "
    "differ from those of other photos, and here none differ"
)


class MetricError(CaptionerError):
    """Captions that cannot be scored: no images, images that do not match, or nothing to compare with."""


@dataclass(frozen=True)
class MetricReport:
    """Scores of one set of captions, as fractions; `percent` gives them the way papers print them.

    Attributes:
        bleu: Corpus BLEU-1 to BLEU-4 with the closest reference length (Papineni et al., 2002).
        rouge_l: Mean ROUGE-L F-score with beta 1.2 (Lin, 2004).
        cider: Mean CIDEr-D (Vedantam et al., 2015), between 0 and 10. Its document frequencies come from the given
            references, so it compares only between runs over the same images, and over a single image it is 0.
        per_image_cider: CIDEr-D of each image.
        per_image_rouge_l: ROUGE-L of each image, in the same order.
        bleu_counts: ``[images, 10]`` in the same order, what corpus BLEU adds up: how many of the caption's n-grams the
            references have, n from 1 to 4; how many n-grams the caption has; its length; the closest reference's.
        images: How many images were scored.
        references_per_image: The smallest and the largest number of references that an image has.
        tokenization: Which tokenizer was used.
    """

    bleu: tuple[float, float, float, float]
    rouge_l: float
    cider: float
    per_image_cider: dict[int, float]
    per_image_rouge_l: dict[int, float]
    bleu_counts: NDArray[np.float64]
    images: int
    references_per_image: tuple[int, int]
    tokenization: str

    def percent(self) -> dict[str, float]:
        """Return the scores times 100 by the names that papers use."""
        bleu = {f"BLEU-{order}": 100 * score for order, score in enumerate(self.bleu, start=1)}
        return {**bleu, "ROUGE-L": 100 * self.rouge_l, "CIDEr": 100 * self.cider}


def score_captions(
    candidates: Mapping[int, str], references: Mapping[int, Sequence[str]], *, engine: Engine = "auto"
) -> MetricReport:
    """Score one caption per image against the image's references.

    Args:
        candidates: The caption of each image id.
        references: One or more human captions for each of the same image ids.
        engine: The tokenizer engine, as in `training.evaluation.ptb.ptb_tokenize`.

    Returns:
        The scores that pycocoevalcap computes for these captions.

    Raises:
        MetricError: If there are no images, the image ids differ, an image has no list of references, or no reference
            has words.
        OptionError: If the engine is unknown.
        TokenizerError: If Java is asked for and fails.
    """
    truths, guesses, tokenization = tokenize_captions(candidates, references, engine)
    if not any(caption for captions in truths.values() for caption in captions):
        raise MetricError("no reference has a word left after tokenization")
    counts = _bleu_counts(truths, guesses)
    rouge_l, rouge_scores = Rouge().compute_score(truths, guesses)
    cider, per_image = Cider().compute_score(truths, guesses)
    references_each = [len(captions) for captions in truths.values()]
    bleu = corpus_bleu(counts.sum(axis=0)).tolist()
    return MetricReport(
        bleu=(bleu[0], bleu[1], bleu[2], bleu[3]),
        rouge_l=float(rouge_l),
        cider=float(cider),
        per_image_cider=_by_image(truths, per_image),
        per_image_rouge_l=_by_image(truths, rouge_scores),
        bleu_counts=counts,
        images=len(truths),
        references_per_image=(min(references_each), max(references_each)),
        tokenization=tokenization,
    )


def cider_is_always_zero(references: Iterable[Sequence[str]]) -> bool:
    """Tell whether no caption of these photos can have a CIDEr above 0.

    CIDEr weighs an n-gram by the logarithm of the number of photos over the number of those whose references have it.
    That is 0 for all of them if every photo has the same n-grams, as a single photo does.

    Args:
        references: The human captions of each photo.
    """
    found = map(_ngrams, references)
    first = next(found, None)
    return all(other == first for other in found)


def _ngrams(captions: Sequence[str]) -> set[tuple[str, ...]]:
    """Return the n-grams, n from 1 to 4, of one photo's references; by Python, since Java would start for each."""
    tokenized, _ = ptb_tokenize(captions, "python")
    return {ngram for text in tokenized for ngram in precook(text, ORDERS)}


def tokenize_captions(
    candidates: Mapping[int, str], references: Mapping[int, Sequence[str]], engine: Engine = "auto"
) -> tuple[dict[int, list[str]], dict[int, list[str]], str]:
    """Return tokenized references and captions by image, as COCO's scorers want them, and the tokenizer's name.

    Raises:
        MetricError: If there are no images, the image ids differ, or an image has no list of references.
    """
    _check(candidates, references)
    truths, tokenization = _tokenize(references, engine)
    guesses, _ = _tokenize({image: [candidates[image]] for image in references}, engine)
    return truths, guesses, tokenization


def corpus_bleu(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return BLEU-1 to BLEU-4 from counts that are added up over a corpus, as pycocoevalcap rounds them.

    Args:
        counts: ``[..., 10]``, sums of ``MetricReport.bleu_counts``.

    Returns:
        ``[..., 4]`` scores: the geometric mean of the precisions, times the brevity penalty.
    """
    right, total, length, closest = np.split(counts, [ORDERS, 2 * ORDERS, 2 * ORDERS + 1], axis=-1)
    precision = (right + 1e-15) / (total + 1e-9)
    mean = np.exp(np.cumsum(np.log(precision), axis=-1) / np.arange(1, ORDERS + 1))
    ratio = (length + 1e-15) / (closest + 1e-9)
    scores: NDArray[np.float64] = mean * np.exp(np.minimum(0, 1 - 1 / ratio))
    return scores


def _bleu_counts(truths: Mapping[int, list[str]], guesses: Mapping[int, list[str]]) -> NDArray[np.float64]:
    scorer = BleuScorer(n=ORDERS)
    for image, captions in truths.items():
        scorer += (guesses[image][0], captions)
    found = scorer.ctest
    rows = [[*one["correct"], *one["guess"], one["testlen"], _closest(one["reflen"], one["testlen"])] for one in found]
    return np.array(rows, dtype=np.float64)


def _closest(lengths: Sequence[int], length: int) -> int:
    return min(lengths, key=lambda other: (abs(other - length), other))


def _by_image(images: Iterable[int], scores: Iterable[float]) -> dict[int, float]:
    return {image: float(score) for image, score in zip(images, scores, strict=True)}


def _check(candidates: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> None:
    if not references and not candidates:
        raise MetricError("there are no images to score")
    for what, ids in (
        ("no candidate", references.keys() - candidates.keys()),
        ("no references", candidates.keys() - references.keys()),
        ("an empty list of references", {image for image, captions in references.items() if not captions}),
        (
            "one string in place of a list of references",
            {i for i, texts in references.items() if isinstance(texts, str)},
        ),
    ):
        if ids:
            raise MetricError(f"{len(ids)} images have {what}, for example image {min(ids)}")


def _tokenize(captions: Mapping[int, Sequence[str]], engine: Engine) -> tuple[dict[int, list[str]], str]:
    tokenized, name = ptb_tokenize([text for texts in captions.values() for text in texts], engine)
    rest = iter(tokenized)
    return {image: [next(rest) for _ in texts] for image, texts in captions.items()}, name
