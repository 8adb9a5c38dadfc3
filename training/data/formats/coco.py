"""MS-COCO's captions: ``{"images": [{"id", "file_name"}], "annotations": [{"id", "image_id", "caption"}]}``.

As pycocotools does, ids of photos may also be texts. The ids of annotations may be texts too, or missing.
"""

from collections.abc import Mapping
from typing import Any

from training.data.formats.annotations import AnnotationFile, Entry

KEYS = frozenset(("images", "annotations"))


def recognises(file: AnnotationFile) -> bool:
    """Whether a file is in this format."""
    return file.json_keys >= KEYS


def read(file: AnnotationFile) -> list[Entry]:
    """Return the photos in the order of their ids, whole numbers before texts.

    Captions are in the order of their ids if all annotations have whole numbers, else in that of the file. Those of
    photos that the file does not list are left out, so that a shortened list of photos is enough to take part of a
    set; :func:`unlisted` returns them.

    Raises:
        DataError: If the file is not in this format; the message names the item.
    """
    names, captions = _names(file), _captions(file)
    return [
        Entry(names[given], tuple(captions.get(given, ())), **identity(given))
        for given in sorted(names, key=lambda given: (isinstance(given, str), given))
    ]


def unlisted(file: AnnotationFile) -> list[str]:
    """Return the captions of photos that the file does not list, each after its photo's id.

    Raises:
        DataError: If the file is not in this format; the message names the item.
    """
    names = _names(file)
    return [f"{given!r}: {text}" for given, texts in _captions(file).items() if given not in names for text in texts]


def identity(given: int | str) -> dict[str, Any]:
    """Return an id as the field of an entry that holds it."""
    return {"text_id": given} if isinstance(given, str) else {"image_id": given}


def id_in(file: AnnotationFile, place: str, item: Mapping[str, Any], key: str) -> int | str:
    """Return the id that an object has under a key, a whole number or a text; they are not taken for each other.

    Raises:
        DataError: If it has none, or something else.
    """
    found: int | str = value(file, place, item, key, (int, str))
    return found


def _names(file: AnnotationFile) -> dict[int | str, str]:
    names: dict[int | str, str] = {}
    for index, image in enumerate(objects(file, "images")):
        place = f"images[{index}]"
        image_id = id_in(file, place, image, "id")
        if image_id in names:
            raise file.wrong(place, f"the id {image_id} is there twice")
        names[image_id] = value(file, place, image, "file_name", str)
    return names


def _captions(file: AnnotationFile) -> dict[int | str, list[str]]:
    """Return the captions of each photo's id, also of photos that are not listed."""
    annotations = objects(file, "annotations")
    numbered = all(isinstance(annotation.get("id"), int) for annotation in annotations)
    found: dict[int | str, list[tuple[int, str]]] = {}
    for index, annotation in enumerate(annotations):
        place = f"annotations[{index}]"
        text = value(file, place, annotation, "caption", str).strip()
        order = annotation["id"] if numbered else index
        found.setdefault(id_in(file, place, annotation, "image_id"), []).append((order, text))
    return {given: [text for _, text in sorted(texts)] for given, texts in found.items()}


def objects(file: AnnotationFile, key: str) -> list[Mapping[str, Any]]:
    """Return a list of objects of a file that is a JSON object.

    Raises:
        DataError: If it is not there, or holds something else.
    """
    values = file.json.get(key) if isinstance(file.json, dict) else None
    if not isinstance(values, list):
        raise file.wrong(key, f"a list is expected; it is {values!r:.60}")
    for index, item in enumerate(values):
        if not isinstance(item, dict):
            raise file.wrong(f"{key}[{index}]", f"an object is expected; it is {item!r:.60}")
    return values


def value(file: AnnotationFile, place: str, item: Mapping[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    """Return what an object has under a key.

    Raises:
        DataError: If it has nothing there, or something of another type.
    """
    if key not in item:
        raise file.wrong(place, f"{key!r} is missing; there are {', '.join(map(repr, item)) or 'no keys'}")
    found = item[key]
    if not isinstance(found, kind) or isinstance(found, bool):
        allowed = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
        raise file.wrong(place, f"{key!r} must be of type {allowed}; it is {found!r:.60}")
    return found
