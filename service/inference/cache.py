"""Answers that are kept, so that the same question about the same photo is not worked out twice."""

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from cachetools import LRUCache

from captioner.types import Caption

WORD_BYTES = 400  # of a word and its numbers as Python objects, roughly
ENTRY_BYTES = 2000  # of the rest of an entry


@dataclass(frozen=True)
class PhotoFacts:
    """What is told of a photo.

    Attributes:
        width: Width of the upright photo in pixels.
        height: Its height.
        format: Such as ``JPEG``.
    """

    width: int
    height: int
    format: str | None


@dataclass(frozen=True)
class Kept:
    """One answer.

    Attributes:
        photo: What the photo was.
        captions: What the model said of it.
    """

    photo: PhotoFacts
    captions: Sequence[Caption]


class ResultCache:
    """The answers used last, bounded by their number and by their memory. May be called from several threads.

    Args:
        max_bytes: Most memory, as estimated; 0 keeps nothing.
        max_entries: Most answers.
    """

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        self._entries: LRUCache[Hashable, Kept] = LRUCache(max_bytes, _size)
        self._max_entries = max_entries
        self._lock = Lock()

    @property
    def is_on(self) -> bool:
        """Whether anything is kept at all."""
        return self._entries.maxsize > 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Kept | None:
        """Return what is kept under a key."""
        with self._lock:
            return self._entries.get(key)

    def put(self, key: Hashable, kept: Kept) -> None:
        """Keep an answer, in place of those that were not used for longest; one larger than the whole is not kept."""
        if _size(kept) > self._entries.maxsize:
            return
        own = replace(kept, captions=[_copy(caption) for caption in kept.captions])
        with self._lock:
            self._entries[key] = own
            while len(self._entries) > self._max_entries:
                self._entries.popitem()


def photo_hash(photo: bytes) -> str:
    """Return what a photo is known by."""
    return hashlib.sha256(photo).hexdigest()


def _copy(caption: Caption) -> Caption:
    """Return a caption with arrays of its own, which keep no others alive that they may be cut from."""
    inside = caption.activations
    return replace(
        caption,
        attention=None if caption.attention is None else caption.attention.copy(),
        activations=None if inside is None else {name: values.copy() for name, values in inside.items()},
    )


def _size(kept: Kept) -> int:
    return ENTRY_BYTES + sum(_caption_size(caption) for caption in kept.captions)


def _caption_size(caption: Caption) -> int:
    arrays = [*(caption.activations or {}).values()]
    arrays += [] if caption.attention is None else [caption.attention]
    return WORD_BYTES * (1 + len(caption.words)) + sum(array.nbytes for array in arrays)
