"""How good a checkpoint's captions are, and exactly how that was measured."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from captioner.decoding import DecodingOptions
from captioner.images import read_image
from captioner.predictor import CaptionPredictor
from captioner.types import Caption, Features
from training.coco import CaptionedImage
from training.metrics import MetricReport
from training.validation import best_captions, score

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
    """

    images: Sequence[CaptionedImage]
    captions: Sequence[Caption]
    report: MetricReport
    options: DecodingOptions
    model: str

    def protocol(self) -> dict[str, Any]:
        """Say how the scores were measured."""
        least, most = self.report.references_per_image
        return {
            "model": self.model,
            "images": len(self.images),
            "references_per_image": str(least) if least == most else f"{least} to {most}",
            "tokenization": self.report.tokenization,
            "search": asdict(self.options),
        }

    def scores(self) -> dict[str, float]:
        """Return the scores times 100, as papers print them."""
        return self.report.percent()

    def to_dict(self) -> dict[str, Any]:
        """Return scores, protocol and the caption of every photo as plain values."""
        captions = [
            {"image_id": image.image_id, "file_name": image.path.name, "caption": caption.text}
            for image, caption in zip(self.images, self.captions, strict=True)
        ]
        return {"scores": self.scores(), "protocol": self.protocol(), "captions": captions}

    def __str__(self) -> str:
        scores = (f"{name:8} {value:6.2f}" for name, value in self.scores().items())
        protocol = (f"  {name}: {_plain(value)}" for name, value in self.protocol().items())
        return "\n".join([*scores, "", "Scores times 100, measured with", *protocol])


def _plain(value: Any) -> str:
    return ", ".join(f"{key} {entry}" for key, entry in value.items()) if isinstance(value, dict) else str(value)


def evaluate(predictor: CaptionPredictor, images: Sequence[CaptionedImage], options: DecodingOptions) -> Evaluation:
    """Caption photos from their files and score the captions, under a progress bar.

    Raises:
        ImageError: If a photo cannot be read.
        MetricError: If the captions cannot be scored.
    """
    captions = best_captions(predictor, _encoded(predictor, images), options, len(images), "captioning")
    info = predictor.info
    return Evaluation(images, captions, score(images, captions), options, f"{info.name} {info.version}")


def _encoded(predictor: CaptionPredictor, images: Sequence[CaptionedImage]) -> Iterator[Features]:
    for start in range(0, len(images), BATCH):
        yield predictor.encode([read_image(image.path.read_bytes()) for image in images[start : start + BATCH]])
