"""``captioner index FOLDER``: an index of photos by their captions, for ``captioner find`` and the web page."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from tqdm import tqdm

from captioner.commands.arguments import add_decoding, add_model, decoding_options, load_model
from captioner.commands.output import DONE, FAILED, complain, shown
from captioner.errors import OptionError
from captioner.index.database import PhotoIndex
from captioner.index.place import default_index
from captioner.index.update import Indexer
from captioner.metadata.exiftool import ExifTool
from captioner.metadata.photos import Photos
from captioner.metadata.sidecars import Sidecars

EPILOG = """\
Only photos that are new or changed, or that another model captioned, are captioned; those that went away are
removed. Captions of the same model that captioner write wrote are taken from there; people's descriptions are
indexed, too. The same command goes on where it stopped.

exit status: 0 if every photo has a caption, 1 if one could not be read, 2 for a wrong option.

examples:
  captioner index photos/
  captioner find "dog on a beach"
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the photos, those in its subfolders too")
    add_index(parser)
    add_model(parser)
    add_decoding(parser, without={"num_captions"})


def add_index(parser: ArgumentParser) -> None:
    """Add the flag that names the index."""
    parser.add_argument("--index", type=Path, metavar="FILE", help=f"the index; default: {default_index()}")


def run(arguments: Namespace) -> int:
    """Bring an index up to date; return the exit status."""
    options = decoding_options(arguments)
    root = checked_folder(arguments.folder)
    index = PhotoIndex(arguments.index or default_index(), writable=True)
    predictor = load_model(arguments)
    with ExifTool() as tool:
        describe = lambda images: predictor.captions(images, options)  # noqa: E731 - with what it closes over
        indexer = Indexer(index, root, predictor.info, describe, (Sidecars(), Photos(tool)), read=predictor.read)
        failed = bring_up_to_date(indexer)
    return FAILED if failed else DONE


def checked_folder(folder: Path) -> Path:
    """Return a folder from the root of the file system.

    Raises:
        OptionError: If there is none.
    """
    if not folder.is_dir():
        raise OptionError(f"{folder}: no such folder")
    return folder.resolve()


def bring_up_to_date(indexer: Indexer) -> int:
    """Caption what is new or changed, remove what is gone, and say so; return how many photos could not be read."""
    changes = indexer.changes()
    indexer.remove(changes.gone)
    failed = 0
    with tqdm(total=len(changes.wanted), unit="photo", file=sys.stderr, disable=not sys.stderr.isatty()) as progress:
        for entries in indexer.add(changes.wanted):
            for entry in entries:
                if entry.error:
                    complain(f"{shown(entry.path)}: {entry.error}")
                    failed += 1
            progress.update(len(entries))
    left = changes.count - len(changes.wanted)
    complain(f"{len(changes.wanted):,} photos indexed, {left:,} as they were, {len(changes.gone):,} removed")
    return failed
