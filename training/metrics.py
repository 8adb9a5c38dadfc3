"""Caption scores as COCO's evaluation gives them: BLEU, ROUGE-L and CIDEr-D, after PTB tokenization."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from captioner.errors import CaptionerError
from training.ptb import Engine, ptb_tokenize


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
        images: How many images were scored.
        references_per_image: The smallest and the largest number of references that an image has.
        tokenization: Which tokenizer was used.
    """

    bleu: tuple[float, float, float, float]
    rouge_l: float
    cider: float
    per_image_cider: dict[int, float]
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
        engine: The tokenizer engine, as in `training.ptb.ptb_tokenize`.

    Returns:
        The scores that pycocoevalcap computes for these captions.

    Raises:
        MetricError: If there are no images, the image ids differ, an image has no list of references, or no reference
            has words.
        OptionError: If the engine is unknown.
        TokenizerError: If Java is asked for and fails.
    """
    _check(candidates, references)
    truths, tokenization = _tokenize(references, engine)
    guesses, _ = _tokenize({image: [candidates[image]] for image in references}, engine)
    if not any(caption for captions in truths.values() for caption in captions):
        raise MetricError("no reference has a word left after tokenization")
    bleu, _ = Bleu(4).compute_score(truths, guesses, verbose=0)
    rouge_l, _ = Rouge().compute_score(truths, guesses)
    cider, per_image = Cider().compute_score(truths, guesses)
    counts = [len(captions) for captions in truths.values()]
    return MetricReport(
        bleu=(float(bleu[0]), float(bleu[1]), float(bleu[2]), float(bleu[3])),
        rouge_l=float(rouge_l),
        cider=float(cider),
        per_image_cider={image: float(score) for image, score in zip(truths, per_image, strict=True)},
        images=len(truths),
        references_per_image=(min(counts), max(counts)),
        tokenization=tokenization,
    )


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
