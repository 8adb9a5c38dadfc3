"""Which photos get a caption, and which keep what they have."""

from pathlib import Path
from typing import Protocol

from captioner.metadata.record import Found, Record
from captioner.predictor import ModelInfo
from captioner.types import Caption

WANTED, DONE, DESCRIBED = "wanted", "done", "described"  # what there is to be done for a photo


class Place(Protocol):
    """Where descriptions are kept: in the photos, or in sidecars beside them."""

    def found(self, photo: Path) -> Found:
        """Return what a model and what a person wrote of a photo."""

    def write(self, photo: Path, record: Record) -> None:
        """Write a caption in place of any other."""

    def remove(self, photo: Path) -> bool:
        """Take away what a model wrote, and put back what it replaced; return whether there was something."""


class Writer:
    """Writes captions of one model where no person has described a photo, and where no such caption is yet.

    Args:
        place: Where captions are written.
        other: Where a person may have described a photo, too.
        model: The model.
        replace: Whether a person's descriptions are replaced.
        mark: Whether captions that need review are written, with a mark, in place of left out.
    """

    def __init__(
        self, place: Place, other: Place, model: ModelInfo, *, replace: bool = False, mark: bool = False
    ) -> None:
        self._place = place
        self._other = other
        self._model = model
        self._replace = replace
        self._mark = mark

    def verdict(self, photo: Path) -> str:
        """Return ``wanted`` for a photo that is to be captioned; ``done`` or ``described``, by a person, for others.

        Raises:
            MetadataError: If its metadata cannot be read.
            OSError: If a file cannot be read.
        """
        found = self._place.found(photo)
        if found.record is not None and not found.person and found.record.is_of(self._model):
            return DONE
        if not self._replace and (found.person or self._other.found(photo).person):
            return DESCRIBED
        return WANTED

    def write(self, photo: Path, caption: Caption) -> bool:
        """Write a caption; return whether it was written, and not left out since it needs review.

        Raises:
            MetadataError: If it cannot be written.
            OSError: If a file cannot be written.
        """
        if not self.takes(caption):
            return False
        self._place.write(photo, Record.of(caption, self._model))
        return True

    def takes(self, caption: Caption) -> bool:
        """Whether a caption would be written: it says something, and needs no review unless that is marked."""
        return bool(caption.text.strip()) and (self._mark or not caption.needs_review)
