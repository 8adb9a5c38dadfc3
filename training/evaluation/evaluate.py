"""How good a checkpoint's captions are, and exactly how that was measured."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tqdm import tqdm

from captioner.decoding import DecodingOptions
from captioner.predictor import CaptionPredictor
from captioner.types import Caption, Features
from training.data import CaptionedImage
from training.evaluation.bootstrap import Bootstrap, score_intervals
from training.evaluation.diversity import Wording, wording
from training.evaluation.examples import make_examples
from training.evaluation.metrics import (
    ALWAYS_ZERO,
    MetricReport,
    cider_is_always_zero,
    score_captions,
    tokenize_captions,
)
from training.evaluation.reliability import Trust, trust
from training.inputs.photos import read_photo


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


BATCH = 32


@dataclass(frozen=True)
class Evaluation:
    """A checkpoint's captions of a set of photos, and their scores.

    Attributes:
        images: The photos.
        captions: The best caption of each.
        report: The scores against all references.
        options: How was searched.
        model: The model's name and version.
        wording: What the captions look like as text.
        human_wording: What the references look like as text.
        bootstrap: How the intervals are found.
        trust: How far the confidences hold, if the model has any.
        further: Further scores by their names, as fractions: METEOR, SPICE.
        notes: Sentences about what was not measured, and about what the scores cannot show.
    """

    images: Sequence[CaptionedImage]
    captions: Sequence[Caption]
    report: MetricReport
    options: DecodingOptions
    model: str
    wording: Wording
    human_wording: Wording
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    trust: Trust | None = None
    further: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def protocol(self) -> dict[str, Any]:
        """Say how the scores were measured."""
        least, most = self.report.references_per_image
        return {
            "model": self.model,
            "images": len(self.images),
            "references_per_image": str(least) if least == most else f"{least} to {most}",
            "tokenization": self.report.tokenization,
            "search": asdict(self.options),
            "intervals": asdict(self.bootstrap),
        }

    def scores(self) -> dict[str, float]:
        """Return the scores times 100, as papers print them."""
        return self.report.percent() | {name: 100 * value for name, value in self.further.items()}

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Return the bootstrap intervals of the scores that have one, times 100."""
        return score_intervals(self.report, self.bootstrap)

    def per_photo_cider(self) -> list[float]:
        """Return CIDEr times 100 of each photo's caption."""
        return [100 * self.report.per_image_cider[image.image_id] for image in self.images]

    def to_dict(self) -> dict[str, Any]:
        """Return all that was found, with the caption of every photo, as plain values."""
        return {
            "scores": self.scores(),
            "intervals": {name: list(ends) for name, ends in self.intervals().items()},
            "protocol": self.protocol(),
            "wording": self.wording.to_dict(),
            "human_wording": self.human_wording.to_dict(),
            "trust": None if self.trust is None else asdict(self.trust),
            "notes": list(self.notes),
            "captions": [self._caption_to_dict(row) for row in range(len(self.images))],
        }

    def _caption_to_dict(self, row: int) -> dict[str, Any]:
        image, caption = self.images[row], self.captions[row]
        values: dict[str, Any] = {"image_id": image.public_id, "file_name": image.path.name, "caption": caption.text}
        values["cider"] = 100 * self.report.per_image_cider[image.image_id]
        if caption.confidence is not None:
            values |= {"confidence": caption.confidence, "needs_review": caption.needs_review}
        return values

    def results(self) -> list[dict[str, Any]]:
        """Return the captions in COCO's results format, as pycocotools and COCO's server read them."""
        pairs = zip(self.images, self.captions, strict=True)
        return [{"image_id": image.public_id, "caption": caption.text} for image, caption in pairs]


def evaluate(
    predictor: CaptionPredictor,
    images: Sequence[CaptionedImage],
    options: DecodingOptions,
    known: Collection[str] | None = None,
    bootstrap: Bootstrap | None = None,
) -> Evaluation:
    """Caption photos from their files and score the captions, under a progress bar.

    Args:
        predictor: The model.
        images: The photos and their references.
        options: How to search.
        known: The tokenized captions of the training photos, to count new captions.
        bootstrap: How to find intervals.

    Raises:
        DataError: If a photo cannot be read.
        MetricError: If the captions cannot be scored.
    """
    captions = caption_photos(predictor, images, options)
    notes = [f"{ALWAYS_ZERO}."] if cider_is_always_zero(image.captions for image in images) else []
    if not any(caption.text for caption in captions):
        notes.append(f"All captions are empty: {predictor.info.name} says nothing of any photo.")
    truths, guesses, _ = tokenize_captions(candidates(images, captions), references(images))
    info, report = predictor.info, score(images, captions)
    return Evaluation(
        images=images,
        captions=captions,
        report=report,
        options=options,
        model=f"{info.name} {info.version}",
        wording=wording([texts[0] for texts in guesses.values()], known),
        human_wording=wording([text for texts in truths.values() for text in texts], known),
        bootstrap=bootstrap or Bootstrap(),
        trust=_trust(predictor, images, captions, report),
        notes=notes,
    )


def _trust(
    predictor: CaptionPredictor, images: Sequence[CaptionedImage], captions: Sequence[Caption], report: MetricReport
) -> Trust | None:
    """Measure the confidences, which only a model that is calibrated has, and only words can be right or wrong."""
    calibration, tokenizer = predictor.calibration, predictor.tokenizer
    if calibration is None or tokenizer.name != "word":
        return None
    cider = [report.per_image_cider[image.image_id] for image in images]
    return trust(calibration, make_examples(images, captions, cider, tokenizer, calibration.word.agreement))


def candidates(images: Sequence[CaptionedImage], captions: Sequence[Caption]) -> dict[int, str]:
    """Return the caption of each image id."""
    return {image.image_id: caption.text for image, caption in zip(images, captions, strict=True)}


def references(images: Sequence[CaptionedImage]) -> dict[int, Sequence[str]]:
    """Return the references of each image id."""
    return {image.image_id: image.captions for image in images}


def caption_photos(
    predictor: CaptionPredictor, images: Sequence[CaptionedImage], options: DecodingOptions
) -> list[Caption]:
    """Return the best caption of each photo, under a progress bar.

    Raises:
        DataError: If a photo cannot be read; the message names it.
    """
    return best_captions(predictor, _encoded(predictor, images), options, len(images), "captioning")


def _encoded(predictor: CaptionPredictor, images: Sequence[CaptionedImage]) -> Iterator[Features]:
    for start in range(0, len(images), BATCH):
        yield predictor.encode([read_photo(image.path, predictor.read) for image in images[start : start + BATCH]])
