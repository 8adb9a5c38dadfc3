"""What commands share that write captions into metadata: the flags that say where and over what, and what they mean."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from captioner.commands.photos import Source
from captioner.errors import OptionError
from captioner.metadata.exiftool import ExifTool, find_exiftool
from captioner.metadata.photos import Photos
from captioner.metadata.sidecars import NAMINGS, Sidecars
from captioner.metadata.writer import Place, Writer
from captioner.predictor import ModelInfo


def add_place(parser: ArgumentParser) -> None:
    """Add the flags that say where captions are written."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--sidecar", choices=("xmp",), help="write into a file beside the photo; the default")
    form.add_argument("--embed", action="store_true", help="write into the photo: JPEG, PNG (by exiftool) or WebP")
    parser.add_argument(
        "--naming",
        choices=NAMINGS,
        help="of sidecars: full is a.jpg.xmp, stem is a.xmp, auto the one that is there or else full; default: auto",
    )
    parser.add_argument("--keep-times", action="store_true", help="with --embed, leave the time of the last change")


def add_policy(parser: ArgumentParser) -> None:
    """Add the flags that say which captions are written, and over what."""
    parser.add_argument("--replace", action="store_true", help="replace descriptions by people, too")
    parser.add_argument(
        "--review",
        choices=("leave", "mark"),
        default="leave",
        help="captions that a person should look at: leave them out, or mark them as such; default: %(default)s",
    )


def files_of(sources: Sequence[Source]) -> list[Path]:
    """Return the files of photos.

    Raises:
        OptionError: If one is standard input.
    """
    if any(source.path is None for source in sources):
        raise OptionError("- is standard input, and nothing can be written there; name files or folders")
    return [source.file for source in sources]


@contextmanager
def opened_places(arguments: Namespace, photos: Sequence[Path]) -> Iterator[tuple[Place, Place]]:
    """Yield where captions are written, and where a person may have described a photo, too.

    Raises:
        ConfigError: If exiftool is needed and not installed.
        OptionError: If a flag is of the other place.
    """
    if arguments.embed and arguments.naming:
        raise OptionError("--naming is of sidecars, and --embed writes none")
    if arguments.keep_times and not arguments.embed:
        raise OptionError("--keep-times is of photos, which without --embed are not written")
    if arguments.embed and any(photo.suffix.lower() != ".webp" for photo in photos):
        find_exiftool()
    with ExifTool() as tool:
        sidecars, inside = Sidecars(arguments.naming or "auto"), Photos(tool, keep_times=arguments.keep_times)
        yield (inside, sidecars) if arguments.embed else (sidecars, inside)


def writer_of(arguments: Namespace, place: Place, other: Place, model: ModelInfo) -> Writer:
    """Return what writes captions as the flags say."""
    return Writer(place, other, model, replace=arguments.replace, mark=arguments.review == "mark")
