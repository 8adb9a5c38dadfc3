"""Anybody's own captions: a CSV with a header, or JSONL; a photo and a caption per line.

Several lines of a photo are several captions of it. A table may also have several caption columns (``caption_0``,
``caption_1``), and a column that says the split.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from training.data.formats.annotations import AnnotationFile, Entry, group

NAMES: Mapping[str, tuple[str, ...]] = {  # what a column may be called, case, blanks, hyphens and underscores aside
    "file": ("file", "filename", "filepath", "image", "imagename", "imagefile", "imagepath", "path", "photo", "img"),
    "caption": ("caption", "captions", "text", "sentence", "sentences", "comment", "description"),
    "split": ("split", "set", "partition", "subset"),
}
DELIMITERS = (",", ";", "\t", "|")


def known_names() -> str:
    """Return a sentence about the names that columns may have."""
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in NAMES.items() if kind != "split")


def recognises_csv(file: AnnotationFile) -> bool:
    """Whether the first line is a header with a photo and a caption."""
    return _delimiter(file.first_line) is not None


def read_csv(file: AnnotationFile) -> list[Entry]:
    """Return the photos of a table in its order.

    Commas, semicolons, tabs or bars part the cells; a cell in double quotes may hold them. They may also stand in the
    last cell of a line without quotes, as there is nothing after it that they could part.

    Raises:
        DataError: If the header names no photo or caption, or a line has too few cells.
    """
    return group(file, _csv_rows(file))


def recognises_jsonl(file: AnnotationFile) -> bool:
    """Whether the first line is a JSON object with a photo and a caption."""
    try:
        first = json.loads(file.first_line)
    except ValueError:
        return False
    return isinstance(first, dict) and {"file", "caption"} <= kinds_in(first)


def read_jsonl(file: AnnotationFile) -> list[Entry]:
    """Return the photos of a JSONL file in its order; a caption may be a text or a list of texts.

    Raises:
        DataError: If a line is no JSON object with a photo and a caption.
    """
    return group(file, _jsonl_rows(file))


def _kind(name: str) -> str | None:
    """Return what a column of some name holds: "file", "caption", "split", or nothing of interest."""
    plain = re.sub(r"[\s_-]", "", name).lower()
    for kind, names in NAMES.items():
        if plain in names or (kind == "caption" and plain.rstrip("0123456789") in names):
            return kind
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _delimiter(header: str) -> str | None:
    for delimiter in DELIMITERS:
        if {"file", "caption"} <= set(map(_kind, _cells(header, delimiter))):
            return delimiter
    return None


def _csv_rows(file: AnnotationFile) -> Iterator[tuple[int, str, str, str]]:
    delimiter = _delimiter(file.first_line)
    if delimiter is None:
        raise file.wrong(1, f"the header {file.first_line!r:.80} must name a photo and a caption ({known_names()})")
    lines = io.StringIO(file.text, newline="")  # newlines inside of quotes are kept
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    kinds: list[str | None] | None = None
    end = 0
    try:
        for cells in reader:
            line, end = end + 1, reader.line_num  # a quoted cell may span lines; the row starts after the last one
            if not any(cell.strip() for cell in cells):
                continue
            if kinds is None:
                kinds = list(map(_kind, cells))
            else:
                yield from _csv_row(file, line, kinds, _fold(cells, len(kinds), delimiter))
    except csv.Error as error:
        raise file.wrong(end + 1, f"not readable as CSV: {error}") from None


def _fold(cells: list[str], count: int, delimiter: str) -> list[str]:
    """Put surplus cells back into the last one."""
    return cells if len(cells) <= count else [*cells[: count - 1], delimiter.join(cells[count - 1 :])]


def _csv_row(
    file: AnnotationFile, line: int, kinds: Sequence[str | None], cells: Sequence[str]
) -> Iterator[tuple[int, str, str, str]]:
    if len(cells) < len(kinds):
        raise file.wrong(line, f"it has {len(cells)} cells; the header has {len(kinds)}")
    found = list(zip(kinds, (cell.strip() for cell in cells), strict=True))
    photo = next(cell for kind, cell in found if kind == "file")
    split = next((cell for kind, cell in found if kind == "split"), "")
    if not photo:
        raise file.wrong(line, "it names no photo")
    captions = [cell for kind, cell in found if kind == "caption"]
    for caption in list(filter(None, captions)) or [""]:
        yield line, photo, caption, split


def kinds_in(item: Mapping[str, Any]) -> set[str | None]:
    """Return what an object holds under its keys: "file", "caption", "split"."""
    return set(map(_kind, item))


def rows_of(file: AnnotationFile, place: int | str, item: Any) -> Iterator[tuple[int | str, str, str, str]]:
    """Return place, photo, caption and split for every caption of an object, an empty one if it has none.

    Raises:
        DataError: If it is no object with a photo and a caption.
    """
    if not isinstance(item, dict):
        raise file.wrong(place, f"an object is expected; it is {item!r:.60}")
    found: dict[str | None, Any] = {}
    for key, value in item.items():
        found.setdefault(_kind(key), value)
    photo, captions = found.get("file"), found.get("caption")
    if not isinstance(photo, str) or not photo.strip():
        raise file.wrong(place, f"it must name a photo under one of: {', '.join(NAMES['file'])}")
    if isinstance(captions, str):
        captions = [captions]
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise file.wrong(place, f"it must have a text, or a list of texts, under one of: {', '.join(NAMES['caption'])}")
    for caption in captions or [""]:
        yield place, photo.strip(), caption, str(found.get("split") or "")


def _jsonl_rows(file: AnnotationFile) -> Iterator[tuple[int | str, str, str, str]]:
    for line, text in file.lines():
        try:
            item = json.loads(text)
        except json.JSONDecodeError as error:
            raise file.wrong(line, f"not valid JSON: {error.msg} (column {error.colno})") from None
        yield from rows_of(file, line, item)
