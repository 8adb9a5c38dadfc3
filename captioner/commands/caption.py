"""``python -m captioner caption PHOTO...``: captions of photos."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from captioner.commands.options import add_decoding, add_model, decoding_options, load_model
from captioner.commands.output import DONE, FAILED, complain, json_line, say, shown, warn
from captioner.commands.photos import find_photos, picture_files, read_photos
from captioner.errors import OptionError
from captioner.heatmap import contact_sheet
from captioner.types import Caption

HELP = "print a caption of each photo"
EPILOG = """\
output: one line per caption, the photo's path and the caption with a tab between; with --num-captions above 1
a third column holds the caption's natural-log probability. With --json: one JSON object per photo and line.

exit status: 0 if every photo was captioned, 1 if one could not be read (the others are captioned all the
same), 2 for a wrong option.

examples:
  python -m captioner caption holiday/ --json
  python -m captioner caption photo.jpg --num-captions 3 --groups 3 --diversity 1
  python -m captioner caption photo.jpg --search sample --temperature 0.7 --seed 1 --beginning "a dog"
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "photos",
        metavar="PHOTO",
        nargs="+",
        type=Path,
        help="an image file, or a folder, which stands for the images in it, sorted by name, without those "
        "in its subfolders",
    )
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, with words, probabilities and attention")
    parser.add_argument("--activations", action="store_true", help="add to the JSON what every gate and state did")
    parser.add_argument(
        "--heatmap",
        metavar="OUT",
        type=Path,
        help="draw where the model looked for each word of the best caption: for a single photo in OUT.png; "
        "without that suffix, OUT is a folder that gets a PNG named after each photo",
    )
    add_decoding(parser)


def run(arguments: Namespace) -> int:
    """Caption photos; return the exit status."""
    options = decoding_options(arguments)
    if arguments.activations and not arguments.json:
        raise OptionError("--activations are printed as JSON only; add --json")
    paths, empty = find_photos(arguments.photos)
    files = _heatmap_files(arguments.heatmap, paths)
    for folder in empty:
        complain(f"{shown(folder)}: no images in this folder")
    if not paths:
        return FAILED
    predictor = load_model(arguments)
    done, spoke = 0, False
    for photos in read_photos(paths):
        images = [photo.image for photo in photos]
        found = predictor.captions(images, options, activations=arguments.activations)
        for photo, captions in zip(photos, found, strict=True):
            if arguments.json:
                say(json_line(photo.path, photo.image, captions))
            else:
                say(_lines(photo.path, captions, columns=2 if options.num_captions == 1 else 3))
            if files:
                contact_sheet(photo.image, captions[0]).save(files[photo.path])
        done += len(photos)
        spoke = spoke or any(caption.text for captions in found for caption in captions)
    if done and not spoke:
        warn("every caption is empty: the model ends each before its first word, as one does that has hardly learnt")
    return FAILED if empty or done < len(paths) else DONE


def _heatmap_files(out: Path | None, paths: Sequence[Path]) -> dict[Path, Path]:
    if out is None:
        return {}
    files = picture_files("--heatmap", out, [path.name for path in paths], paths)
    return dict(zip(paths, files, strict=True))


def _lines(path: Path, captions: Sequence[Caption], columns: int) -> str:
    rows = [[shown(path), caption.text, f"{caption.log_prob:.4f}"] for caption in captions]
    return "\n".join("\t".join(row[:columns]) for row in rows)
