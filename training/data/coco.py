"""MS-COCO's captions: ``{"images": [{"id", "file_name"}], "annotations": [{"id", "image_id", "caption"}]}``."""

from collections.abc import Mapping
from typing import Any

from training.data.annotations import AnnotationFile, Entry

KEYS = frozenset(("images", "annotations"))


def recognises(file: AnnotationFile) -> bool:
    """Whether a file is in this format."""
    return file.json_keys >= KEYS


def read(file: AnnotationFile) -> list[Entry]:
    """Return the photos in the order of their ids, with captions in the order of theirs.

    Captions of photos that the file does not list are left out, so that a shortened list of photos is enough to take
    part of a set.

    Raises:
        DataError: If the file is not in this format; the message names the item.
    """
    images, annotations = objects(file, "images"), objects(file, "annotations")
    names: dict[int, str] = {}
    for index, image in enumerate(images):
        image_id = value(file, f"images[{index}]", image, "id", int)
        if image_id in names:
            raise file.wrong(f"images[{index}]", f"the id {image_id} is there twice")
        names[image_id] = value(file, f"images[{index}]", image, "file_name", str)
    captions: dict[int, list[tuple[int, str]]] = {image_id: [] for image_id in names}
    for index, annotation in enumerate(annotations):
        place = f"annotations[{index}]"
        text = value(file, place, annotation, "caption", str).strip()
        order = value(file, place, annotation, "id", int)
        captions.setdefault(value(file, place, annotation, "image_id", int), []).append((order, text))
    return [
        Entry(names[image_id], tuple(text for _, text in sorted(captions[image_id])), image_id=image_id)
        for image_id in sorted(names)
    ]


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


def value(file: AnnotationFile, place: str, item: Mapping[str, Any], key: str, kind: type) -> Any:
    """Return what an object has under a key.

    Raises:
        DataError: If it has nothing there, or something of another type.
    """
    if key not in item:
        raise file.wrong(place, f"{key!r} is missing; there are {', '.join(map(repr, item)) or 'no keys'}")
    found = item[key]
    if not isinstance(found, kind) or isinstance(found, bool):
        raise file.wrong(place, f"{key!r} must be of type {kind.__name__}; it is {found!r:.60}")
    return found
