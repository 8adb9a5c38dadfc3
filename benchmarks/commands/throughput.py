"""Count photos per second for batches of several sizes and numbers of beams, from the files' bytes to captions.

Every row is timed once in every round. "of one by one" is the rate as a multiple of that of single photos with as
many beams, and "of the encoder" the time as a multiple of the encoder's for the same batch, both taken round by
round.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.models import add_model_arguments, describe, load_chosen
from benchmarks.photos import read_photos
from benchmarks.report import add_json_argument, introduce, publish
from benchmarks.timing import Times, Work, in_turn, ratio
from captioner.decoding import DecodingOptions
from captioner.images import read_image
from captioner.predictor import CaptionPredictor

EPILOG = __doc__
SIZES = (1, 2, 4, 8, 16, 32, 64)
BEAMS = (1, 3, 5)
TITLES = {
    "batch": "batch",
    "beams": "beams",
    "photos_per_second": "photos/s",
    "median_ms": "ms per photo",
    "of_one": "of one by one",
    "of_encoder": "of the encoder",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="JPEG files; default: photos made up")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="of batches (default: 1 to 64)")
    parser.add_argument("--beams", type=int, nargs="+", default=list(BEAMS), help="(default: 1, 3 and 5)")
    parser.add_argument("--rounds", type=int, default=7, help="how often each row is timed (default: %(default)s)")
    add_json_argument(parser)


def run(arguments: Namespace) -> int:
    """Time every row and print the table."""
    predictor = load_chosen(arguments)
    sizes = sorted({1, *arguments.sizes})  # the ratios need single photos
    files = read_photos(arguments.photos, max(sizes))
    introduce(model=describe(predictor), rounds=arguments.rounds)
    times = in_turn(works(predictor, files, sizes, arguments.beams), arguments.rounds)
    found = rows(times, sizes, arguments.beams)
    publish("throughput", found, TITLES, arguments.json, model=describe(predictor), rounds=arguments.rounds)
    return 0


def works(
    predictor: CaptionPredictor, files: Sequence[bytes], sizes: Sequence[int], beams: Sequence[int]
) -> list[Work]:
    """Return a batch of every size: encoded, and captioned with every number of beams."""
    found = []
    for size in sizes:
        batch = (list(files) * size)[:size]
        images = [predictor.prepare(read_image(data)) for data in batch]
        found.append(Work(f"encode {size}", lambda images=images: predictor.encode(images), size))  # type: ignore[misc]
        for count in beams:
            options = DecodingOptions(beam_size=count)
            found.append(Work(f"{size} {count}", _captioning(predictor, batch, options), size))
    return found


def _captioning(predictor: CaptionPredictor, batch: Sequence[bytes], options: DecodingOptions) -> Any:
    return lambda: predictor.captions([read_image(data) for data in batch], options)


def rows(times: Times, sizes: Sequence[int], beams: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each size and number of beams."""
    return [_row(times, size, count) for count in beams for size in sizes]


def _row(times: Times, size: int, beams: int) -> dict[str, Any]:
    own = times[f"{size} {beams}"]
    return {
        "batch": size,
        "beams": beams,
        "photos_per_second": 1 / median(own),
        "median_ms": 1000 * median(own),
        "of_one": ratio(times[f"1 {beams}"], own).median,
        "of_encoder": ratio(own, times[f"encode {size}"]).median,
    }
