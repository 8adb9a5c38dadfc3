"""Results that are kept, so that the same question about the same photo is not worked out twice."""

import hashlib
from collections.abc import Hashable
from dataclasses import replace
from threading import Lock

from cachetools import LRUCache

from captioner.answers.answering import Answers
from service.inference.jobs import Result, Said, Seconds

WORD_BYTES = 400  # of a word and its numbers as Python objects, roughly
ENTRY_BYTES = 2000  # of the rest of an entry


class ResultCache:
    """The results used last, bounded by their number and by their memory. May be called from several threads.

    Args:
        max_bytes: Most memory, as estimated; 0 keeps nothing.
        max_entries: Most results.
    """

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        self._entries: LRUCache[Hashable, Result] = LRUCache(max_bytes, _size)
        self._max_entries = max_entries
        self._lock = Lock()

    @property
    def is_on(self) -> bool:
        """Whether anything is kept at all."""
        return self._entries.maxsize > 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Result | None:
        """Return what is kept under a key."""
        with self._lock:
            return self._entries.get(key)

    def put(self, key: Hashable, result: Result) -> None:
        """Keep a result, in place of those that were not used for longest; one larger than the whole is not kept."""
        if _size(result) > self._entries.maxsize:
            return
        own = replace(result, said=[_copy(one) for one in result.said], seconds=Seconds(), cached=True)
        with self._lock:
            self._entries[key] = own
            while len(self._entries) > self._max_entries:
                self._entries.popitem()


def photo_hash(photo: bytes) -> str:
    """Return what a photo is known by."""
    return hashlib.sha256(photo).hexdigest()


def _copy(said: Said) -> Said:
    """Return a caption or answers with arrays of their own, which keep no others alive that they may be cut from."""
    if isinstance(said, Answers):
        return replace(said, attention=None if said.attention is None else said.attention.copy())
    caption, inside = said, said.activations
    return replace(
        caption,
        attention=None if caption.attention is None else caption.attention.copy(),
        activations=None if inside is None else {name: values.copy() for name, values in inside.items()},
    )


def _size(result: Result) -> int:
    return ENTRY_BYTES + sum(map(_said_size, result.said))


def _said_size(said: Said) -> int:
    if isinstance(said, Answers):
        parts, arrays = len(said.answers), [said.attention]
    else:
        parts, arrays = len(said.words), [said.attention, *(said.activations or {}).values()]
    return WORD_BYTES * (1 + parts) + sum(array.nbytes for array in arrays if array is not None)
