"""Count photos per second of captioner write and captioner index, beside the library alone.

The library reads and captions the photos in batches of 8; write does that and writes sidecars, or into the photos;
index does that and keeps an index. "done before" is a second run over the same folder, which finds nothing to do.
Everything is run once in every round, on fresh copies of the photos, whose making is not timed, and shares are
taken within a round. Embedding needs exiftool.
"""

import io
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.models import add_model_arguments, describe, load_chosen
from benchmarks.photos import read_photos
from benchmarks.report import add_json_argument, introduce, publish
from benchmarks.timing import ratio, seconds_of
from captioner.commands.index import bring_up_to_date
from captioner.commands.photos import BATCH_SIZE, find_photos
from captioner.commands.write import write_captions
from captioner.index.database import PhotoIndex
from captioner.index.update import Indexer
from captioner.metadata.exiftool import ExifTool
from captioner.metadata.photos import Photos
from captioner.metadata.sidecars import Sidecars
from captioner.metadata.writer import Place, Writer
from captioner.predictor import CaptionPredictor

EPILOG = __doc__
LIBRARY = "library"
TITLES = {
    "what": "what",
    "photos_per_second": "photos/s",
    "median_ms": "ms per photo",
    "of_library": "of the library's",
}
Job = Callable[[Path], object]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="JPEG files; default: photos made up")
    parser.add_argument("--count", type=int, default=64, help="photos of a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (default: %(default)s)")
    add_json_argument(parser)


def run(arguments: Namespace) -> int:
    """Time all and print the table."""
    predictor = load_chosen(arguments)
    files = read_photos(arguments.photos, arguments.count)
    about = {"model": describe(predictor), "rounds": arguments.rounds, "photos": len(files)}
    introduce(**about)
    with ExifTool() as tool:
        times = _times(jobs(predictor, tool), files, arguments.rounds)
    publish("files", [_row(times, name) for name in times], TITLES, arguments.json, **about)
    return 0


def jobs(predictor: CaptionPredictor, tool: ExifTool) -> dict[str, tuple[Job, ...]]:
    """Return what is timed by its name: its last step, after those before it."""
    sidecars, inside = Sidecars(), Photos(tool)

    def library(folder: Path) -> None:
        photos = sorted(folder.glob("*.jpg"))
        for start in range(0, len(photos), BATCH_SIZE):
            batch = [predictor.read(path.read_bytes()).image for path in photos[start : start + BATCH_SIZE]]
            predictor.captions(batch)

    def writing(place: Place, other: Place) -> Job:
        writer = Writer(place, other, predictor.info, mark=True)
        return lambda folder: write_captions(
            find_photos([str(folder)])[0], writer, predictor.captions, dry=False, read=predictor.read
        )

    def index(folder: Path) -> None:
        kept = PhotoIndex(folder / ".index", writable=True)
        places = (sidecars, inside)
        bring_up_to_date(Indexer(kept, folder, predictor.info, predictor.captions, places, read=predictor.read))

    beside, embedded = writing(sidecars, inside), writing(inside, sidecars)
    return {
        LIBRARY: (library,),
        "write, sidecars": (beside,),
        "write, embedded": (embedded,),
        "index": (index,),
        "write, done before": (beside, beside),
        "index, done before": (index, index),
    }


def _times(works: dict[str, tuple[Job, ...]], files: list[bytes], rounds: int) -> dict[str, list[float]]:
    """Return the seconds per photo of each round, after one that warms up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, (*before, work) in works.items():
            with _folder(files) as folder:
                for step in before:
                    step(folder)
                seconds = seconds_of(lambda work=work, folder=folder: work(folder)) / len(files)  # type: ignore[misc]
            if number:
                times[name].append(seconds)
    return times


@contextmanager
def _folder(files: list[bytes]) -> Iterator[Path]:
    """Yield a folder of photos, in which nothing is said."""
    with TemporaryDirectory(prefix="captioner-") as name:
        folder = Path(name)
        for number, data in enumerate(files):
            (folder / f"{number:05}.jpg").write_bytes(data)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield folder


def _row(times: dict[str, list[float]], name: str) -> dict[str, Any]:
    share = ratio(times[LIBRARY], times[name])
    return {
        "what": name,
        "photos_per_second": 1 / median(times[name]),
        "median_ms": 1000 * median(times[name]),
        "of_library": share.median,
    }
