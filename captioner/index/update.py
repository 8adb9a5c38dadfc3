"""Keeping an index up with a folder: only what is new or has changed is captioned, and what went away is removed."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image

from captioner.errors import CaptionerError, MetadataError
from captioner.images import DEFAULT_LIMITS, SUFFIXES, Read, decode_photo
from captioner.index.database import Entry, PhotoIndex
from captioner.metadata.record import Found, Record
from captioner.metadata.writer import Place
from captioner.predictor import ModelInfo
from captioner.types import Caption

BATCH_SIZE = 8
Describe = Callable[[list[Image.Image]], list[list[Caption]]]
Write = Callable[[Path, Caption], None]


@dataclass(frozen=True)
class Changes:
    """What of a folder differs from its entries.

    Attributes:
        wanted: Photos that are new or changed, or were captioned by another model, with their stamps, by their paths.
        gone: Photos that are no longer there.
        count: How many photos are there.
    """

    wanted: Mapping[str, str]
    gone: tuple[str, ...]
    count: int


class Indexer:
    """Captions photos of a folder into an index.

    Args:
        index: The index.
        root: The folder, from the root of the file system.
        model: Which model captions.
        describe: The model: captions of some pictures.
        places: Where a caption of the model, or a person's description, may stand already: the sidecars, the photos.
        write: Where captions are written besides, before they are in the index; ``None`` is nowhere.
        read: How photos are read, such as by :meth:`captioner.predictor.CaptionPredictor.read`.
    """

    def __init__(
        self,
        index: PhotoIndex,
        root: Path,
        model: ModelInfo,
        describe: Describe,
        places: Iterable[Place],
        write: Write | None = None,
        read: Read = decode_photo,
    ) -> None:
        self._index = index
        self._root = root
        self._model = model
        self._describe = describe
        self._places = tuple(places)
        self._write = write
        self._read = read

    def changes(self) -> Changes:
        """Compare the folder with its entries.

        Raises:
            OSError: If the folder cannot be read: what is not seen must not count as gone.
        """
        known = self._index.known(self._root)
        there = dict(self._listed())
        wanted = {path: stamp for path, stamp in there.items() if known.get(path) != (stamp, self._key)}
        return Changes(wanted, tuple(path for path in known if path not in there), len(there))

    def remove(self, paths: Iterable[str]) -> None:
        """Remove photos."""
        self._index.remove(self._root, paths)

    def add(self, paths: Iterable[str]) -> Iterator[list[Entry]]:
        """Make the entries of photos, a batch at a time; yield each once it is in the index."""
        left = iter(paths)
        while batch := list(islice(left, BATCH_SIZE)):
            entries = self._entries(batch)
            self._index.put(self._root, entries)
            yield entries

    def is_done(self, path: str) -> bool:
        """Whether a photo's entry is as it must be: there is none of a photo that is gone."""
        stamp = self.stamp(path)
        return stamp is not None and self._index.has(self._root, path, stamp, self._key)

    def stamp(self, path: str) -> str | None:
        """Return of what an entry would be made, the file and its sidecars by size and time; ``None`` if it is gone."""
        photo = self._root / path
        try:
            own = photo.stat()
        except OSError:
            return None
        parts = [f"{own.st_size}:{own.st_mtime_ns}"]
        for sidecar in (photo.with_name(f"{photo.name}.xmp"), photo.with_suffix(".xmp")):
            try:
                parts.append(str(sidecar.stat().st_mtime_ns))
            except OSError:
                parts.append("")
        return "/".join(parts)

    @property
    def _key(self) -> str:
        return f"{self._model.name} {self._model.version} {self._model.sha256}"

    def _listed(self) -> Iterator[tuple[str, str]]:
        for here, folders, names in os.walk(self._root, onerror=_refuse):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = os.path.relpath(os.path.join(here, name), self._root)
                if is_photo(name) and (stamp := self.stamp(path)) is not None:
                    yield path, stamp

    def _entries(self, paths: Iterable[str]) -> list[Entry]:
        """Return entries, in which captions that stand in the metadata are taken from there."""
        read = [(path, self.stamp(path) or "", self._found(path)) for path in paths]
        pictures = dict[str, Image.Image]()
        errors = dict[str, str]()
        for path, _, found in read:
            if found.record is None or not found.record.is_of(self._model):
                try:
                    pictures[path] = self._picture(path)
                except (OSError, CaptionerError) as error:
                    errors[path] = str(error)
        made = self._describe(list(pictures.values())) if pictures else []
        captions = {path: best for path, (best, *_) in zip(pictures, made, strict=True)}
        records = {path: Record.of(best, self._model) for path, best in captions.items()}
        stamps = {path: self._written(path, best) for path, best in captions.items()} if self._write else {}
        return [
            self._entry(
                path, stamps.get(path) or stamp, records.get(path) or found.record, found.person, errors.get(path, "")
            )
            for path, stamp, found in read
        ]

    def _picture(self, path: str) -> Image.Image:
        with (self._root / path).open("rb") as file:
            return self._read(file.read(DEFAULT_LIMITS.max_bytes + 1)).image

    def _written(self, path: str, caption: Caption) -> str | None:
        """Write a caption where captions are written besides; return the stamp after that."""
        if self._write is not None:
            self._write(self._root / path, caption)
        return self.stamp(path)

    def _entry(self, path: str, stamp: str, record: Record | None, person: str, error: str) -> Entry:
        if record is None or error:
            return Entry(path, stamp, self._key, description=person, error=error or "no caption")
        return Entry(path, stamp, self._key, record.text, person, record.confidence, record.needs_review)

    def _found(self, path: str) -> Found:
        """Return what stands in the metadata: the first record, and the first description."""
        found = []
        for place in self._places:
            try:
                found.append(place.found(self._root / path))
            except (OSError, MetadataError):  # whoever writes metadata will tell
                continue
        records = (one.record for one in found if one.record is not None and one.record.is_of(self._model))
        return Found(next(records, None), next((one.person for one in found if one.person), ""))


def is_photo(name: str) -> bool:
    """Whether a file is a photo, by its name."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _refuse(error: OSError) -> None:
    raise error
