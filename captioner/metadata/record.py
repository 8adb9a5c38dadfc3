"""What is noted with a caption that is written into metadata, and what is found there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from captioner.predictor import ModelInfo
from captioner.types import Caption

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Record:
    """A caption as a model wrote it.

    Attributes:
        text: The caption.
        model: The name of the model.
        version: Its version.
        sha256: Of its file, in hex; empty if it was none.
        confidence: The calibrated probability that the caption is good, or ``None``.
        needs_review: Whether a person should look at it, or ``None``.
        replaced: A person's descriptions that it took the place of, by where they stood: ``xmp``, ``iptc``, ``exif``.
    """

    text: str
    model: str
    version: str
    sha256: str = ""
    confidence: float | None = None
    needs_review: bool | None = None
    replaced: Mapping[str, str] = field(default_factory=lambda: NOTHING)

    @classmethod
    def of(cls, caption: Caption, model: ModelInfo) -> "Record":
        """Return the record of a caption that a model has just made."""
        text = " ".join(caption.text.split())
        return cls(text, model.name, model.version, model.sha256, caption.confidence, caption.needs_review)

    def is_of(self, model: ModelInfo) -> bool:
        """Tell whether it was made by this very model."""
        return (self.model, self.version, self.sha256) == (model.name, model.version, model.sha256)


@dataclass(frozen=True)
class Found:
    """What a photo's metadata say of its picture.

    Attributes:
        record: What a model wrote, if it did.
        person: What a person wrote; empty if nobody did.
    """

    record: Record | None = None
    person: str = ""
