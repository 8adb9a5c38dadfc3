"""Captions of a whole set, and their scores."""

from collections.abc import Iterable, Sequence

from tqdm import tqdm

from captioner.decoding import DecodingOptions
from captioner.predictor import CaptionPredictor
from captioner.types import Caption, Features
from training.data import CaptionedImage
from training.evaluation.metrics import MetricReport, score_captions


def best_captions(
    predictor: CaptionPredictor, batches: Iterable[Features], options: DecodingOptions, total: int, what: str | None
) -> list[Caption]:
    """Caption encoded batches of photos, the best caption of each, under a progress bar if that has a title."""
    captions: list[Caption] = []
    with tqdm(total=total, desc=what, unit="photo", leave=False, disable=what is None) as bar:
        for features in batches:
            found = predictor.captions_of(features, options)
            captions += [best for best, *_ in found]
            bar.update(len(found))
    return captions


def all_empty(count: int) -> str:
    """Return the warning that a model said nothing of any photo."""
    which = "the only caption is" if count == 1 else f"all {count} captions are"
    return f"{which} empty: the model ends each before its first word"


def score(images: Sequence[CaptionedImage], captions: Sequence[Caption]) -> MetricReport:
    """Score one caption per photo against all of the photo's references."""
    return score_captions(
        {image.image_id: caption.text for image, caption in zip(images, captions, strict=True)},
        {image.image_id: image.captions for image in images},
    )
