"""Captioned photos in WebDataset shards: plain tar files with a photo and its captions under one name.

The members of a sample stand one after the other and have the same name up to the first dot: ``000123.jpg`` with
``000123.json`` or ``000123.txt``, as the libraries webdataset and img2dataset write them, and tar of a folder that is
sorted by name.
"""

import glob
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from captioner.bulk.tar import Member, list_members, read_bytes
from captioner.errors import OptionError
from captioner.images import SUFFIXES
from training.data.photos import ShardPhoto
from training.data.source import CaptionedImage, Unreadable, id_of, readable
from training.errors import DataError

JSON, TEXT = "json", "txt"
KEYS = ("captions", "caption")  # of the JSON object of a sample
FORMS = 'captions are the key "captions" or "caption" of .json, a text or a list of texts, or the lines of .txt'


@dataclass
class Sample:
    """The members of a shard that have a name in common.

    Attributes:
        key: That name.
        photo: The photo, if there is one.
        texts: The members with captions, by their endings.
    """

    key: str
    photo: ShardPhoto | None = None
    texts: dict[str, Member] = field(default_factory=dict)


class Told(NamedTuple):
    """What a sample says of its photo: its id, if it says one, and its captions."""

    image_id: int | str | None
    captions: tuple[str, ...]


@dataclass(frozen=True)
class ShardSource:
    """Where captioned photos come from that are in shards.

    Attributes:
        patterns: Names of tar files, or patterns of them such as ``train-*.tar``.
        root: What they are relative to.
        unreadable: What photos do that cannot be read, and captions without a photo: "error" ends a run at them;
            "skip" opens all photos, and leaves out and lists the bad ones.
    """

    patterns: tuple[str, ...]
    root: Path
    unreadable: Unreadable = "error"

    def __str__(self) -> str:
        return ", ".join(str(self.root / pattern) for pattern in self.patterns)

    def files(self) -> list[Path]:
        """Return the shards, in the order of the patterns and of their names.

        Raises:
            DataError: If a pattern stands for none.
        """
        found = dict.fromkeys(path for pattern in self.patterns for path in self._matching(pattern))
        return list(found)

    def _matching(self, pattern: str) -> list[Path]:
        path = self.root / pattern
        if path.is_file():
            return [path]
        found = [self.root / name for name in sorted(glob.glob(pattern, root_dir=self.root, recursive=True))]
        if not found:
            hint = "; write {000..009} as *" if "{" in pattern else ""
            raise DataError(f"{path}: no such shard{hint}")
        return found

    def load(self) -> list[CaptionedImage]:
        """Return the photos that have captions, in the order of the shards; the photos themselves are not read.

        Raises:
            DataError: If there is no shard, one cannot be read or does not hold what it must, no photo has a caption,
                or two have the same id; the message names where.
        """
        found: dict[int, CaptionedImage] = {}
        for shard in self.files():
            for image in self._images(shard):
                other = found.setdefault(image.image_id, image)
                if other is not image:
                    raise DataError(f"{other.path} and {image.path} have the same id {image.public_id}")
        if not found:
            raise DataError(f"{self}: no photo in it has a caption; {FORMS}")
        images = list(found.values())
        return readable(images, self) if self.unreadable == "skip" else images

    def _images(self, shard: Path) -> Iterator[CaptionedImage]:
        for sample in samples(shard):
            told = _told(shard, sample)
            if sample.photo is None:
                if told.captions and self.unreadable == "error":
                    raise DataError(f"{shard}/{sample.key}: captions without a photo (unreadable = skip leaves it out)")
            elif told.captions:
                name = sample.key if told.image_id is None else told.image_id
                text_id = name if isinstance(name, str) else ""
                image_id = id_of(name) if isinstance(name, str) else name
                yield CaptionedImage(image_id, sample.photo, told.captions, text_id)


def captions_sha256(images: Iterable[CaptionedImage]) -> str:
    """Return a hash of the ids and captions of photos, in their order."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(json.dumps([image.public_id, image.captions]).encode())
    return digest.hexdigest()


def samples(shard: Path) -> Iterator[Sample]:
    """Yield the samples of a shard, in its order.

    Raises:
        DataError: If it cannot be read, has a sample in two places, or two photos in a sample.
    """
    sample, seen = Sample(""), set[str]()
    for member in _members(shard):
        folder, slash, base = member.name.rpartition("/")
        stem, dot, ending = base.partition(".")
        key = f"{folder}{slash}{stem}"
        if not dot or not stem:  # a file without an ending, or a hidden one
            continue
        if key != sample.key:
            if sample.key:
                yield sample
            if key in seen:
                raise DataError(f"{shard}/{member.name}: its sample began elsewhere; sort the members by their names")
            seen.add(key)
            sample = Sample(key)
        _add(shard, sample, member, ending.lower())
    if sample.key:
        yield sample


def _members(shard: Path) -> Iterator[Member]:
    try:
        yield from list_members(shard)
    except OptionError as error:
        raise DataError(str(error)) from None


def _add(shard: Path, sample: Sample, member: Member, ending: str) -> None:
    if f".{ending}" in SUFFIXES:
        if sample.photo is not None:
            raise DataError(f"{shard}/{member.name}: a second photo beside {sample.photo.name}")
        sample.photo = ShardPhoto(shard, *member)
    elif ending in (JSON, TEXT):
        sample.texts[ending] = member


def _told(shard: Path, sample: Sample) -> Told:
    """Return what a sample says: its JSON, and its text where that has no captions."""
    image_id, captions = None, list[str]()
    if member := sample.texts.get(JSON):
        image_id, captions = _of_json(f"{shard}/{member.name}", _text(shard, member))
    if not captions and (member := sample.texts.get(TEXT)):
        captions = _text(shard, member).splitlines()
    return Told(image_id, tuple(text for caption in captions if (text := caption.strip())))


def _text(shard: Path, member: Member) -> str:
    data = read_bytes(shard, member.offset, member.size)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{shard}/{member.name}: byte 0x{data[error.start]:02x} is not UTF-8") from None


def _of_json(place: str, text: str) -> tuple[int | str | None, list[str]]:
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise DataError(f"{place}: no JSON: {error}") from None
    image_id = None
    if isinstance(content, dict):
        image_id = content.get("image_id")
        content = next((content[key] for key in KEYS if content.get(key) is not None), [])
    found: Sequence[Any] = [content] if isinstance(content, str) else content
    if not isinstance(found, list) or not all(isinstance(caption, str) for caption in found):
        raise DataError(f"{place}: {str(content)!r:.40} is no text and no list of texts; {FORMS}")
    if isinstance(image_id, bool) or not isinstance(image_id, int | str | None):
        raise DataError(f"{place}: image_id is {image_id!r}; it must be a whole number or a text")
    return image_id, found
