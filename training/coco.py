"""Captions in MS-COCO's format, read by pycocotools."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from pycocotools.coco import COCO

from training.errors import DataError


@dataclass(frozen=True)
class CaptionedImage:
    """One photo with its reference captions.

    Attributes:
        image_id: Its id in the annotations.
        path: Its file.
        captions: Its reference captions, in the order of their ids.
    """

    image_id: int
    path: Path
    captions: tuple[str, ...]


def load_captioned_images(annotations: Path, images: Path) -> list[CaptionedImage]:
    """Read a COCO captions file.

    Args:
        annotations: The JSON file.
        images: The folder of the photos that it names.

    Returns:
        The images that have captions, in the order of their ids.

    Raises:
        DataError: If the file is missing or not in COCO's captions format, if none of its images has a caption, or if a
            photo is missing; the message names the first few.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress by printing
            coco = COCO(str(annotations))
        found = [
            CaptionedImage(image_id, images / coco.imgs[image_id]["file_name"], captions)
            for image_id in sorted(coco.getImgIds())
            if (captions := _captions(coco, image_id))
        ]
    except (OSError, ValueError, KeyError, TypeError, AssertionError, AttributeError) as error:
        raise DataError(f"{annotations}: not a readable COCO captions file ({type(error).__name__}: {error})") from None
    if not found:
        raise DataError(f"{annotations}: no image in it has a caption")
    missing = [str(image.path) for image in found if not image.path.is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(found)} photos are missing, such as {', '.join(missing[:3])}")
    return found


def _captions(coco: COCO, image_id: int) -> tuple[str, ...]:
    annotations = sorted(coco.imgToAnns.get(image_id, []), key=lambda annotation: annotation["id"])
    return tuple(str(annotation["caption"]).strip() for annotation in annotations)
