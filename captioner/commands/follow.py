"""``captioner follow FOLDER``: captions what arrives in a folder."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path

from captioner.commands.arguments import add_decoding, add_model, decoding_options, load_model
from captioner.commands.index import add_index, checked_folder
from captioner.commands.metadata import add_place, add_policy, opened_places, writer_of
from captioner.commands.output import complain, escaped, say, shown
from captioner.errors import MetadataError, OptionError
from captioner.index.database import PhotoIndex
from captioner.index.follow import SETTLED, Arrivals
from captioner.index.place import default_index
from captioner.index.update import Indexer, Write
from captioner.metadata.writer import WANTED, Writer
from captioner.types import Caption

EPILOG = """\
Photos that are there and not yet in the index are captioned first. A photo is captioned once it has not changed
for a while. The index remembers what was done, also after a restart or a crash; with --sidecar xmp or --embed
captions are written into metadata, too, as captioner write does. Ctrl-C ends it.

output: one line per photo, its path in the folder and its caption with a tab between.

examples:
  captioner follow photos/
  captioner follow photos/ --sidecar xmp
"""

LONGEST = 3600.0  # seconds


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the photos, those in its subfolders too")
    add_index(parser)
    parser.add_argument(
        "--settled",
        type=float,
        default=SETTLED,
        metavar="S",
        help="seconds without a change after which a file is whole; default: %(default)s",
    )
    add_place(parser)
    add_policy(parser)
    add_model(parser)
    add_decoding(parser, without={"num_captions"})


def run(arguments: Namespace) -> int:
    """Caption what arrives until Ctrl-C."""
    options = decoding_options(arguments)
    if not 0 < arguments.settled <= LONGEST:
        raise OptionError(f"--settled is {arguments.settled}; it must be above 0 and at most {LONGEST:g}")
    root = checked_folder(arguments.folder)
    index = PhotoIndex(arguments.index or default_index(), writable=True)
    arrivals = Arrivals(root, arguments.settled)
    embedded = [Path("any.jpg")] if arguments.embed else []  # exiftool may be needed
    with opened_places(arguments, embedded) as places, arrivals.listening():
        predictor = load_model(arguments)
        writes = arguments.embed or arguments.sidecar
        write = _writing(writer_of(arguments, *places, predictor.info)) if writes else None
        describe = lambda images: predictor.captions(images, options)  # noqa: E731 - with what it closes over
        indexer = Indexer(index, root, predictor.info, describe, places, write, predictor.read)
        changes = indexer.changes()
        indexer.remove(changes.gone)
        arrivals.expect(changes.wanted)
        complain(f"following {shown(root)}: {changes.count:,} photos, {len(changes.wanted):,} of them new")
        while True:
            _take(indexer, arrivals.ready())


def _writing(writer: Writer) -> Write:
    def write(photo: Path, caption: Caption) -> None:
        try:
            if writer.verdict(photo) == WANTED:
                writer.write(photo, caption)
        except (OSError, MetadataError) as error:
            complain(f"{shown(photo)}: {error}")

    return write


def _take(indexer: Indexer, paths: Iterable[str]) -> None:
    """Caption photos that are new or changed, and forget those that are gone."""
    there = [(path, indexer.stamp(path) is not None) for path in paths]
    indexer.remove(path for path, is_there in there if not is_there)
    for entries in indexer.add(path for path, is_there in there if is_there and not indexer.is_done(path)):
        for entry in entries:
            if entry.error:
                complain(f"{shown(entry.path)}: {entry.error}")
            else:
                say(f"{shown(entry.path)}\t{escaped(entry.caption)}")
