"""Corrections of captions, kept in a folder that training reads: photos, and a list of what people say of them.

The folder holds ``corrections.jsonl``, a line of JSON for each correction with its ``id``, the photo's ``file``, the
``caption`` and the photo's ``bytes``; and ``photos``. Any number of processes may share it.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from captioner.errors import ConfigError
from captioner.files import write_whole
from service.errors import BusyError, CorrectionsFullError, UnknownCorrectionError
from service.settings import Settings

LIST, PHOTOS, LOCK = "corrections.jsonl", "photos", ".lock"  # the first two are training's names, too
LOCK_SECONDS = 10
MOST_SIDE = 1024  # pixels of a kept photo: more than any encoder sees
QUALITY = 92
DIGITS = 32  # of an id
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Kept:
    """What became of a correction.

    Attributes:
        id: By which it can be deleted.
        is_new: Whether it was not there before.
    """

    id: str
    is_new: bool


class CorrectionStore:
    """The folder of the corrections.

    Args:
        folder: Made if it is not there.
        most: How many corrections it may hold.
        most_bytes: How many bytes its photos may have together.

    Raises:
        ConfigError: If the folder cannot be used.
    """

    def __init__(self, folder: Path, most: int, most_bytes: int) -> None:
        self._folder, self._most, self._most_bytes = folder, most, most_bytes
        try:
            (folder / PHOTOS).mkdir(parents=True, exist_ok=True)
            with self._locked():
                self._remove_unlisted(self._rows())
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"corrections is {str(folder)!r}, which cannot be used: {error}") from None

    @classmethod
    def from_settings(cls, settings: Settings) -> "CorrectionStore | None":
        """Return the folder that the operator wants, if any."""
        if settings.corrections is None:
            return None
        return cls(settings.corrections, settings.corrections_entries, settings.corrections_bytes)

    def add(self, photo: bytes, picture: bytes, caption: str) -> Kept:
        """Keep a correction, unless the same photo and sentence are there.

        Args:
            photo: The bytes of the file that was sent, by which it is known again.
            picture: What is kept of it, from :func:`encode_photo`.
            caption: The sentence.

        Raises:
            CorrectionsFullError: If there is no room for it.
            BusyError: If others have been writing for too long.
        """
        sha256 = hashlib.sha256(photo)
        file = f"{sha256.hexdigest()[:DIGITS]}.jpg"
        name = hashlib.sha256(sha256.digest() + caption.encode()).hexdigest()[:DIGITS]
        with self._locked():
            rows = self._rows()
            if any(row["id"] == name for row in rows):
                return Kept(name, is_new=False)
            is_there = any(row["file"] == file for row in rows)
            self._require_room(rows, 0 if is_there else len(picture))
            if not is_there:
                write_whole(self._folder / PHOTOS / file, picture)
            size = (self._folder / PHOTOS / file).stat().st_size
            self._write([*rows, {"id": name, "file": file, "caption": caption, "bytes": size}])
        return Kept(name, is_new=True)

    def delete(self, name: str) -> None:
        """Forget a correction, and its photo if no other one is of it.

        Raises:
            UnknownCorrectionError: If there is none of that id.
            BusyError: If others have been writing for too long.
        """
        with self._locked():
            rows = self._rows()
            rest = [row for row in rows if row["id"] != name]
            if len(rest) == len(rows):
                raise UnknownCorrectionError("there is no correction of this id; it may have been deleted already")
            self._write(rest)
            self._remove_unlisted(rest)

    def _require_room(self, rows: Sequence[Mapping[str, Any]], more: int) -> None:
        if len(rows) >= self._most:
            raise CorrectionsFullError(f"{self._most} corrections are kept, and no more may be; nothing was stored")
        held = sum({row["file"]: int(row["bytes"]) for row in rows}.values())
        if held + more > self._most_bytes:
            raise CorrectionsFullError(
                f"the photos of the corrections have {held / MEBIBYTE:.2f} MiB, this one {more / MEBIBYTE:.2f} MiB, "
                f"and all of them may have {self._most_bytes / MEBIBYTE:.2f} MiB; nothing was stored"
            )

    def _rows(self) -> list[dict[str, Any]]:
        path = self._folder / LIST
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        write_whole(self._folder / LIST, "".join(f"{json.dumps(row)}\n" for row in rows))

    def _remove_unlisted(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Remove photos that no correction is of, such as one whose writer was killed before it was listed."""
        listed = {row["file"] for row in rows}
        for path in (self._folder / PHOTOS).iterdir():
            if path.name not in listed:
                path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other threads and processes away from the folder."""
        try:
            with FileLock(self._folder / LOCK, timeout=LOCK_SECONDS):
                yield
        except Timeout:
            raise BusyError(f"others have been writing corrections for {LOCK_SECONDS} seconds; try again") from None


def fit_photo(image: Image.Image) -> Image.Image:
    """Return an upright photo as small as it is kept."""
    small = image.copy()
    small.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return small


def encode_photo(image: Image.Image) -> bytes:
    """Return a photo as it is kept: a JPEG of its pixels, without what the file said of place, time and camera."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
