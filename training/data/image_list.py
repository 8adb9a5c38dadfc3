"""COCO's lists of photos without captions: ``{"images": [{"id", "file_name"}]}``, as of its test sets."""

from dataclasses import dataclass
from pathlib import Path

from training.data.formats.annotations import AnnotationFile
from training.data.formats.coco import objects, value
from training.errors import DataError

NAMED = 3  # of the missing photos, in the error


@dataclass(frozen=True)
class ListedImage:
    """A photo of a list.

    Attributes:
        image_id: Its id.
        path: Its file.
    """

    image_id: int
    path: Path


def load_image_list(file: Path, folder: Path) -> list[ListedImage]:
    """Read a list of photos, in its order.

    Args:
        file: JSON; captions in it, if there are any, are not looked at.
        folder: Where the photos are.

    Raises:
        DataError: If the file is no such list, is empty or has an id twice, or if photos are missing.
    """
    listed = AnnotationFile(file)
    images: dict[int, ListedImage] = {}
    for index, item in enumerate(objects(listed, "images")):
        place = f"images[{index}]"
        image_id = value(listed, place, item, "id", int)
        if image_id in images:
            raise listed.wrong(place, f"the id {image_id} is there twice")
        images[image_id] = ListedImage(image_id, folder / value(listed, place, item, "file_name", str))
    if not images:
        raise listed.wrong("images", "the list is empty")
    missing = [image.path for image in images.values() if not image.path.is_file()]
    if missing:
        first = ", ".join(map(str, missing[:NAMED]))
        raise DataError(f"{len(missing)} of {len(images)} photos are not there, first of all {first}")
    return list(images.values())
