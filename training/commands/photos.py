"""Which captioned photos a command looks at: those of a file of captions and a folder, or of tar shards."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import get_args

from captioner.errors import OptionError
from training.data import CaptionSource, ShardSource
from training.data.source import Unreadable


def add_photos(parser: ArgumentParser) -> None:
    """Add the arguments that say which photos."""
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="captions that people wrote")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of the photos")
    parser.add_argument(
        "--shards", nargs="+", default=(), metavar="TAR", help="in their place: WebDataset shards, or patterns of them"
    )
    parser.add_argument("--split", nargs="+", default=(), metavar="NAME", help="only these splits of the file")
    parser.add_argument(
        "--unreadable",
        choices=get_args(Unreadable),
        default="error",
        help="whether to end at photos that cannot be read, or to leave them out and list them; default: %(default)s",
    )


def photo_source(arguments: Namespace) -> CaptionSource | ShardSource:
    """Return where the photos come from.

    Raises:
        OptionError: If that is not said, or said twice.
    """
    folder = arguments.annotations is not None and arguments.images is not None
    if arguments.shards:
        if arguments.annotations or arguments.images or arguments.split:
            raise OptionError("--shards hold photos and captions; leave out --annotations, --images and --split")
        return ShardSource(tuple(arguments.shards), Path(), arguments.unreadable)
    if not folder:
        raise OptionError("which photos? name --annotations and --images, or --shards")
    return CaptionSource(
        arguments.annotations, arguments.images, tuple(arguments.split), unreadable=arguments.unreadable
    )


def photo_words(source: CaptionSource | ShardSource) -> list[str]:
    """Return the arguments from which :func:`photo_source` makes a source."""
    if isinstance(source, ShardSource):
        words = ["--shards", *(str(source.root / pattern) for pattern in source.patterns)]
    else:
        words = ["--annotations", str(source.annotations), "--images", str(source.images)]
        words += ["--split", *source.split] if source.split else []
    return [*words, "--unreadable", source.unreadable]
