"""A file of captions as it lies on the disk, and what every format makes of it."""

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from training.errors import DataError

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif", ".heic", ".heif")


@dataclass(frozen=True)
class Entry:
    """What a file of captions says of one photo.

    Attributes:
        file: The photo's file, relative to the folder of the photos.
        captions: Its captions, without white space around them; some may be empty.
        split: The split that the file puts the photo in; empty if it knows no splits.
        image_id: The photo's id; ``None`` if the file gives none, or a text.
        text_id: The photo's id if that is a text; else empty.
    """

    file: str
    captions: tuple[str, ...]
    split: str = ""
    image_id: int | None = None
    text_id: str = ""


class AnnotationFile:
    """A file of captions, read once, whatever its format.

    Args:
        path: The file, in UTF-8, or in UTF-16 with a byte order mark.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def text(self) -> str:
        """All of it.

        Raises:
            DataError: If the file cannot be read, or is no text in UTF-8; the message names the line.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            wrong = data[error.start : error.start + 1].hex()
            raise DataError(
                f"{self.path}, line {line}: byte 0x{wrong} is not {encoding}; save the file as UTF-8"
            ) from None

    @cached_property
    def json(self) -> Any:
        """What the text is as one JSON value.

        Raises:
            DataError: If it is none; the message names the line and the column.
        """
        try:
            return json.loads(self.text)
        except json.JSONDecodeError as error:
            place = f"{self.path}, line {error.lineno}, column {error.colno}"
            raise DataError(f"{place}: not valid JSON: {error.msg}") from None

    @property
    def json_keys(self) -> frozenset[str]:
        """The keys of the JSON object that the file is; empty if it is something else."""
        if not self.text.lstrip().startswith("{"):
            return frozenset()
        try:
            return frozenset(self.json) if isinstance(self.json, dict) else frozenset()
        except DataError:
            return frozenset()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Return the lines that are not empty, each with its number from 1."""
        for number, line in enumerate(self.text.split("\n"), start=1):  # splitlines() would cut inside of captions
            if line.strip():
                yield number, line.rstrip("\r")

    @property
    def first_line(self) -> str:
        """The first line that is not empty."""
        return next((line for _, line in self.lines()), "")

    def wrong(self, place: int | str, message: str) -> DataError:
        """Return an error about a line, or about a place in a JSON value such as ``images[3]``."""
        return DataError(f"{self.path}, {f'line {place}' if isinstance(place, int) else place}: {message}")


def group(file: AnnotationFile, rows: Iterable[tuple[int | str, str, str, str]]) -> list[Entry]:
    """Make one entry of all the rows of a photo, in the order in which the photos come first.

    Args:
        file: Where the rows come from, for the message.
        rows: Line number or another place, photo, caption and split.

    Raises:
        DataError: If a photo is in two splits.
    """
    captions: dict[str, list[str]] = {}
    splits: dict[str, str] = {}
    for line, photo, caption, split in rows:
        if splits.setdefault(photo, split) != split:
            raise file.wrong(line, f"{photo} is in split {split!r}, but before in split {splits[photo]!r}")
        captions.setdefault(photo, []).append(caption.strip())
    return [Entry(photo, tuple(texts), splits[photo]) for photo, texts in captions.items()]
