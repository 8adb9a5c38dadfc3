"""Karpathy's splits: ``{"images": [{"filename", "filepath", "split", "sentences": [{"raw"}]}]}``.

``dataset_coco.json``, ``dataset_flickr8k.json`` and ``dataset_flickr30k.json`` of Karpathy and Fei-Fei (2015). COCO's
has the splits train, restval, val and test, and a ``filepath``: its photos lie in two folders.
"""

from training.data.formats.annotations import AnnotationFile, Entry
from training.data.formats.coco import objects, value


def recognises(file: AnnotationFile) -> bool:
    """Whether a file is in this format."""
    if "images" not in file.json_keys or "annotations" in file.json_keys:
        return False
    images = file.json["images"]
    return isinstance(images, list) and bool(images) and isinstance(images[0], dict) and "sentences" in images[0]


def read(file: AnnotationFile) -> list[Entry]:
    """Return the photos in the file's order; their ids are COCO's, or the file's own.

    Raises:
        DataError: If the file is not in this format; the message names the item.
    """
    entries = []
    for index, image in enumerate(objects(file, "images")):
        place = f"images[{index}]"
        name = value(file, place, image, "filename", str)
        folder = value(file, place, image, "filepath", str) if image.get("filepath") else ""
        sentences = value(file, place, image, "sentences", list)
        if not all(isinstance(sentence, dict) for sentence in sentences):
            raise file.wrong(f"{place}.sentences", "objects with 'raw' are expected")
        captions = tuple(
            value(file, f"{place}.sentences[{number}]", sentence, "raw", str).strip()
            for number, sentence in enumerate(sentences)
        )
        key = "cocoid" if "cocoid" in image else "imgid"
        image_id = value(file, place, image, key, int) if key in image else None
        split = value(file, place, image, "split", str)
        entries.append(Entry(f"{folder}/{name}" if folder else name, captions, split, image_id))
    return entries
