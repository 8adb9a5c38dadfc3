"""``captioner caption PHOTO...``: captions of photos."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from captioner.commands.arguments import add_decoding, add_model, decoding_options, load_model
from captioner.commands.output import DONE, FAILED, escaped, json_line, say, shown, warn
from captioner.commands.photos import Source, find_photos, picture_files, read_photos
from captioner.errors import OptionError
from captioner.heatmap import contact_sheet
from captioner.types import Caption

EPILOG = """\
output: one line per caption, the photo's path and the caption with a tab between; with --num-captions above 1
a third column holds the caption's natural-log probability. Of the path, backslashes, tabs and line feeds are
written \\\\, \\t and \\n. With --json: one JSON object per photo and line. What was skipped goes to standard error.

exit status: 0 if every photo was captioned, 1 if one could not be read (the others are captioned all the
same), 2 for a wrong option.

examples:
  captioner caption holiday/ --recursive --json
  curl -L https://example.org/dog.jpg | captioner caption -
  captioner caption photo.jpg --num-captions 3 --groups 3 --diversity 1
  captioner caption photo.jpg --search sample --temperature 0.7 --seed 1 --beginning "a dog"
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "photos",
        metavar="PHOTO",
        nargs="+",
        help="an image file; or - for one from standard input; or a folder, which stands for the images in it, "
        "sorted by name, without those in its subfolders",
    )
    parser.add_argument("--recursive", action="store_true", help="of a folder, also the images in its subfolders")
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, with words, probabilities and attention")
    parser.add_argument("--activations", action="store_true", help="add to the JSON what every gate and state did")
    parser.add_argument(
        "--heatmap",
        metavar="OUT",
        help="draw where the model looked for each word of the best caption: for a single photo in OUT.png; "
        "a name without an ending is a folder, which gets a PNG named after each photo",
    )
    add_decoding(parser)


def run(arguments: Namespace) -> int:
    """Caption photos; return the exit status."""
    options = decoding_options(arguments)
    if arguments.activations and not arguments.json:
        raise OptionError("--activations are printed as JSON only; add --json")
    sources, complete = find_photos(arguments.photos, recursive=arguments.recursive)
    files = _heatmap_files(arguments.heatmap, sources)
    if not sources:
        return FAILED
    predictor = load_model(arguments)
    done, spoke = 0, False
    for photos in read_photos(sources, predictor.read):
        images = [photo.image for photo in photos]
        found = predictor.captions(images, options, activations=arguments.activations)
        for photo, captions in zip(photos, found, strict=True):
            if arguments.json:
                say(json_line(photo.source, photo.decoded, captions))
            else:
                say(_lines(photo.source, captions, columns=2 if options.num_captions == 1 else 3))
            if files:
                contact_sheet(photo.in_full(), captions[0]).save(files[photo.source])
        done += len(photos)
        spoke = spoke or any(caption.text for captions in found for caption in captions)
    if done and not spoke:
        warn("every caption is empty: the model ends each before its first word, as one does that has hardly learnt")
    return DONE if complete and done == len(sources) else FAILED


def _heatmap_files(out: str | None, sources: Sequence[Source]) -> dict[Source, Path]:
    if out is None:
        return {}
    files = picture_files("--heatmap", out, [source.name for source in sources], sources)
    return dict(zip(sources, files, strict=True))


def _lines(source: Source, captions: Sequence[Caption], columns: int) -> str:
    rows = [[shown(source), escaped(caption.text), f"{caption.log_prob:.4f}"] for caption in captions]
    return "\n".join("\t".join(row[:columns]) for row in rows)
