"""Where an AVIF file has its coded pictures: the boxes of ISO/IEC 14496-12, as far as that takes."""

import struct
from collections.abc import Iterator

MAX_BOXES = 10_000  # of a file, and items, and pieces of an item: a picture of many tiles has hundreds
_Box = tuple[bytes, int, int]  # its type, and where its body begins and ends


def coded_pictures(data: bytes) -> Iterator[bytes]:
    """Give the coded data of each picture of a file, and of the first frame of each of its films.

    Raises:
        ValueError: If there are too many.
        struct.error: If the file is cut off where that is told.
    """
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"meta":
            yield from _items(data, start + 4, end)
        elif kind == b"moov":
            for track in _below(data, start, end, (b"trak",)):
                yield from _first_frame(data, track)


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    """Give the boxes that stand one after the other in a part of a file."""
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        stop = end if size == 0 else start + size
        if stop < body or stop > end:
            return
        yield kind, body, stop
        start = stop
    raise ValueError("too many boxes")


def _below(data: bytes, start: int, end: int, path: tuple[bytes, ...]) -> list[_Box]:
    """Return the boxes at the end of a path of types."""
    found = [box for box in _boxes(data, start, end) if box[0] == path[0]]
    if len(path) == 1:
        return found
    return [inner for _, body, stop in found for inner in _below(data, body, stop, path[1:])]


def _items(data: bytes, start: int, end: int) -> Iterator[bytes]:
    inside = _below(data, start, end, (b"idat",))
    base = inside[0][1] if inside else 0
    for _, body, _ in _below(data, start, end, (b"iloc",)):
        for within, extents in _locations(data, body):
            yield b"".join(_part(data, offset + (base if within else 0), length) for offset, length in extents)


def _part(data: bytes, offset: int, length: int) -> bytes:
    return data[offset : offset + length] if length else data[offset:]


def _locations(data: bytes, start: int) -> Iterator[tuple[bool, list[tuple[int, int]]]]:
    """Give for each item whether its data stand in the box ``idat``, and where: offset and length of each piece."""
    version, sizes = data[start], data[start + 4 : start + 6]
    offset_size, length_size = sizes[0] >> 4, sizes[0] & 15
    base_size, index_size = sizes[1] >> 4, (sizes[1] & 15) if version else 0
    wide = 4 if version == 2 else 2
    cursor = _Cursor(data, start + 6)
    for _ in range(_bounded(cursor.take(wide))):
        cursor.take(wide)
        within = bool(version and cursor.take(2) & 15 == 1)
        cursor.take(2)
        base = cursor.take(base_size)
        extents = []
        for _ in range(_bounded(cursor.take(2))):
            cursor.take(index_size)
            extents.append((base + cursor.take(offset_size), cursor.take(length_size)))
        yield within, extents


def _first_frame(data: bytes, track: _Box) -> Iterator[bytes]:
    path = (b"mdia", b"minf", b"stbl")
    for table, offset_size in ((b"stco", 4), (b"co64", 8)):
        for _, places, _ in _below(data, track[1], track[2], (*path, table)):
            for _, sizes, _ in _below(data, track[1], track[2], (*path, b"stsz")):
                each, _, first = struct.unpack_from(">III", data, sizes + 4)
                offset = _Cursor(data, places + 8).take(offset_size)
                yield _part(data, offset, each or first)


class _Cursor:
    """Reads big-endian numbers of a few bytes each."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position

    def take(self, size: int) -> int:
        """Return the next number."""
        end = self._position + size
        if end > len(self._data):
            raise ValueError("the file is cut off")
        value = int.from_bytes(self._data[self._position : end], "big")
        self._position = end
        return value


def _bounded(number: int) -> int:
    if number > MAX_BOXES:
        raise ValueError(f"{number} pieces; at most {MAX_BOXES} are looked at")
    return number
