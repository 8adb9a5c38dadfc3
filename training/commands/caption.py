"""``captioner train caption``: captions of a list of photos, as COCO's server takes them."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from captioner.commands.arguments import add_decoding, add_model, decoding_options, load_model
from captioner.commands.output import DONE, FAILED, say
from captioner.commands.photos import Source, read_photos
from captioner.decoding import DecodingOptions
from captioner.files import write_whole
from captioner.predictor import CaptionPredictor
from training.commands.files import json_file
from training.data.image_list import ListedImage, load_image_list

EPILOG = """\
The list is what COCO publishes of its test photos: {"images": [{"id": 1, "file_name": "1.jpg"}, ...]}. The
captions become [{"image_id": 1, "caption": "a dog runs"}, ...], in the order of the list.

exit status: 0 if every photo was captioned, 1 if one could not be read: it is left out, and named.
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--list", type=Path, required=True, metavar="FILE", help="the photos, without captions")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of the photos")
    parser.add_argument("--out", type=json_file, required=True, metavar="OUT.json", help="the captions")
    add_model(parser)
    add_decoding(parser, without={"num_captions"})


def run(arguments: Namespace) -> int:
    """Caption the photos of a list; return the exit status."""
    options = decoding_options(arguments)
    images = load_image_list(arguments.list, arguments.images)
    ids = {_source(image): image.image_id for image in images}
    captions = dict(_captions(load_model(arguments), list(ids), options))
    results = [{"image_id": ids[source], "caption": text} for source, text in captions.items()]
    write_whole(arguments.out, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    say(f"wrote {arguments.out}: captions of {len(results)} photos out of {len(images)}")
    return DONE if len(results) == len(images) else FAILED


def _source(image: ListedImage) -> Source:
    """Return a photo of the list by a name of its own: several ids may have the same file."""
    return Source(f"image {image.image_id}, {image.path}", image.path, image.path.name)


def _captions(
    predictor: CaptionPredictor, sources: Sequence[Source], options: DecodingOptions
) -> Iterator[tuple[Source, str]]:
    for photos in read_photos(sources, predictor.read):
        found = predictor.captions([photo.image for photo in photos], options)
        for photo, captions in zip(photos, found, strict=True):
            yield photo.source, captions[0].text
