"""One JSON list of objects, as BLIP and LAVIS have it: ``[{"image": "x.jpg", "caption": "..." or [...], "image_id"}]``.

The names of the keys are those of tables. Several objects of a photo are several captions of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from training.data.formats.annotations import AnnotationFile, Entry, group
from training.data.formats.coco import id_in, identity
from training.data.formats.tables import kinds_in, rows_of
from training.errors import DataError

ID_KEYS = ("image_id", "img_id")


def recognises(file: AnnotationFile) -> bool:
    """Whether a file is a list whose first object has a photo and a caption."""
    if not file.text.lstrip().startswith("["):
        return False
    try:
        items = file.json
    except DataError:
        return False
    return bool(items) and isinstance(items[0], dict) and {"file", "caption"} <= kinds_in(items[0])


def read(file: AnnotationFile) -> list[Entry]:
    """Return the photos in the order of the file; their ids are the file's, if it has some.

    Raises:
        DataError: If the file is no list of objects with a photo and a caption, or gives a photo two ids.
    """
    if not isinstance(file.json, list):
        raise file.wrong(1, "a list of objects is expected")
    ids: dict[str, int | str] = {}
    entries = group(file, _rows(file, ids))
    return [replace(entry, **identity(ids[entry.file])) if entry.file in ids else entry for entry in entries]


def _rows(file: AnnotationFile, ids: dict[str, int | str]) -> Iterator[tuple[int | str, str, str, str]]:
    for index, item in enumerate(file.json):
        place = f"[{index}]"
        for row in rows_of(file, place, item):
            yield row
        _note_id(file, place, item, row[1], ids)


def _note_id(file: AnnotationFile, place: str, item: Mapping[str, Any], photo: str, ids: dict[str, int | str]) -> None:
    key = next((key for key in ID_KEYS if item.get(key) is not None), None)
    if key is None:
        return
    given = id_in(file, place, item, key)
    if ids.setdefault(photo, given) != given:
        raise file.wrong(place, f"{photo} has the id {given!r}, but before {ids[photo]!r}")
