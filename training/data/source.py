"""Captioned photos: a file of captions, the folder of its photos, and which split of them."""

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from tqdm import tqdm

from training.data.formats.annotations import PHOTO_ENDINGS, AnnotationFile, Entry
from training.data.formats.table import FORMATS, read_entries, unlisted_captions
from training.data.photos import PhotoFile, look_at
from training.data.similar import hints, photo_hints
from training.errors import DataError

Unreadable = Literal["error", "skip"]

ID_BITS = 53  # of ids made from names: JSON and JavaScript keep whole numbers up to this size


@dataclass(frozen=True)
class CaptionedImage:
    """One photo with its reference captions.

    Attributes:
        image_id: Its id in the annotations; where they have none, a hash of its file's name there.
        path: Its file, or where it is in a tar shard.
        captions: Its reference captions, in the order of the annotations.
        text_id: Its id in the annotations if that is a text; ``image_id`` is then a hash of it.
    """

    image_id: int
    path: PhotoFile
    captions: tuple[str, ...]
    text_id: str = ""

    @property
    def public_id(self) -> int | str:
        """Its id as the annotations have it, for whoever compares captions with them."""
        return self.text_id or self.image_id


@dataclass(frozen=True)
class CaptionSource:
    """Where captioned photos come from.

    Attributes:
        annotations: The file of captions.
        images: The folder that the file's photo names are relative to.
        split: Names of the file's splits, or files beside it that list photos, one name a line; empty takes all photos
            of a file that knows no splits, or only one.
        format: A name in ``training.data.FORMATS``; empty recognises the format by the content.
        unreadable: What photos do that are missing or cannot be read: "error" ends the loading at missing ones and
            leaves the others to whoever reads them; "skip" opens all photos, and leaves out and lists the bad ones.
    """

    annotations: Path
    images: Path
    split: tuple[str, ...] = ()
    format: str = ""
    unreadable: Unreadable = "error"

    def __post_init__(self) -> None:
        if self.format:
            FORMATS[self.format]  # an unknown name is an error here rather than after other data is read

    def entries(self) -> dict[int, Entry]:
        """Return what the file says of the photos of the split, by their ids.

        Raises:
            DataError: If the file cannot be read, or has no such split, or has several splits and none is chosen.
        """
        splits = self.by_split()
        if not self.split and len(splits) > 1:
            raise DataError(f"{self.annotations} has the splits {_counted(splits)}; name those to use")
        parts = [self._choose(splits, name) for name in self.split] or splits.values()
        return {image_id: entry for part in parts for image_id, entry in part.items()}

    def by_split(self) -> dict[str, dict[int, Entry]]:
        """Return what the file says of all its photos, by split and id; a file without splits has one, ``""``.

        Raises:
            DataError: If the file cannot be read.
        """
        splits: dict[str, dict[int, Entry]] = {}
        for image_id, entry in numbered(read_entries(self.annotations, self.format), self.annotations).items():
            splits.setdefault(entry.split, {})[image_id] = entry
        return splits

    def unlisted(self) -> list[str]:
        """Return the captions in the file whose photos it does not list; see :meth:`load` for what becomes of them.

        Raises:
            DataError: If the file cannot be read.
        """
        return unlisted_captions(self.annotations, self.format)

    def load(self) -> list[CaptionedImage]:
        """Return the photos that have captions, in the order of their ids; empty captions are left out.

        So are captions of photos that the file does not list, and bad photos if ``unreadable`` says so: these are
        named on standard error. What is left out depends on the files alone.

        Raises:
            DataError: As :meth:`entries` does; also if no photo has a caption, if none can be read, or if a photo is
                missing and not to be skipped; the message names the first few.
        """
        found = [
            CaptionedImage(image_id, self.images / entry.file, captions, entry.text_id)
            for image_id, entry in sorted(self.entries().items())
            if (captions := tuple(filter(None, entry.captions)))
        ]
        if not found:
            raise DataError(f"{self.annotations}: no image in it has a caption")
        if self.unreadable == "skip":
            return readable(found, self.annotations)
        if missing := [image.path for image in found if not image.path.is_file()]:
            hint = photo_hints(self.images)
            examples = ", ".join(
                f"{path}{hint(Path(str(path)).relative_to(self.images).as_posix())}" for path in missing[:3]
            )
            raise DataError(
                f"{self.annotations}: {len(missing)} of {len(found)} photos are missing, such as {examples}"
            )
        return found

    def _choose(self, splits: Mapping[str, Mapping[int, Entry]], name: str) -> Mapping[int, Entry]:
        if name and name in splits:
            return splits[name]
        photos = self.annotations.parent / name
        if photos.is_file():
            return _listed(splits, AnnotationFile(photos), self.annotations)
        raise DataError(
            f"{self.annotations} has no split {name!r}; its splits are {_counted(splits)}, "
            f"and {photos} is no file that lists photos"
        )


def readable(images: list[CaptionedImage], place: object) -> list[CaptionedImage]:
    """Open photos and return those that can be read; the others are named on standard error.

    Args:
        images: The photos.
        place: Where they were found, for messages.

    Raises:
        DataError: If none can be read.
    """
    looks = look_at(image.path for image in images)
    bad = [image for image in images if not looks[image.path].good]
    lines = [f"  {image.path}: {looks[image.path].problem or 'no such file'}" for image in bad]
    if len(bad) == len(images):
        few = "\n".join(lines[:3])
        raise DataError(f"{place}: none of its {len(images)} photos can be read, such as\n{few}")
    if bad:
        count = f"{len(bad)} of {len(images)} photos cannot be read, and are left out:"
        tqdm.write("\n".join([f"{place}: {count}", *lines]), file=sys.stderr)
    return [image for image in images if looks[image.path].good]


def load_captioned_images(
    annotations: Path,
    images: Path,
    split: Sequence[str] = (),
    format: str = "",  # noqa: A002 - its name in a recipe
    unreadable: Unreadable = "error",
) -> list[CaptionedImage]:
    """Return captioned photos; see :class:`CaptionSource`."""
    return CaptionSource(annotations, images, tuple(split), format, unreadable).load()


def numbered(entries: Iterable[Entry], annotations: Path) -> dict[int, Entry]:
    """Return entries by their ids: the file's own, or else ids made from texts that are ids, or from the photos' names.

    An id made from a name depends on the name alone, so that it stays when photos are added, taken out or reordered.

    Raises:
        DataError: If two photos have the same id.
    """
    by_id: dict[int, Entry] = {}
    for entry in entries:
        image_id = id_of(entry.text_id or entry.file) if entry.image_id is None else entry.image_id
        other = by_id.setdefault(image_id, entry)
        if other is not entry:
            raise DataError(f"{annotations}: {other.file} and {entry.file} have the same id {image_id}")
    return by_id


def id_of(name: str) -> int:
    """Return the number that stands for a name, or for an id that is a text."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> (64 - ID_BITS)


def _listed(splits: Mapping[str, Mapping[int, Entry]], photos: AnnotationFile, annotations: Path) -> dict[int, Entry]:
    """Return the entries whose photos a file lists, by their names with or without folder and ending."""
    known: dict[str, dict[int, Entry]] = {}
    for part in splits.values():
        for image_id, entry in part.items():
            name = PurePosixPath(entry.file)
            short = name.stem if name.suffix.lower() in PHOTO_ENDINGS else name.name
            for key in (short, name.name, entry.file):
                known.setdefault(key, {})[image_id] = entry
    chosen: dict[int, Entry] = {}
    for line, text in photos.lines():
        found = known.get(text.strip(), {})
        if len(found) != 1:
            count = "several photos" if found else "no photo"
            hint = (
                "" if found else hints(entry.file for part in splits.values() for entry in part.values())(text.strip())
            )
            raise photos.wrong(line, f"{annotations} has {count} of the name {text.strip()!r}{hint}")
        chosen |= found
    return chosen


def _counted(splits: Mapping[str, Mapping[int, Entry]]) -> str:
    return ", ".join(f"{name or 'unnamed'} ({len(part)} photos)" for name, part in sorted(splits.items())) or "none"
