"""``captioner write PHOTO...``: captions in photos' own metadata, or in sidecars beside them."""

import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from tqdm import tqdm

from captioner.commands.arguments import add_decoding, add_model, decoding_options, load_model
from captioner.commands.metadata import add_place, add_policy, files_of, opened_places, writer_of
from captioner.commands.output import DONE, FAILED, complain, escaped, say, shown
from captioner.commands.photos import BATCH_SIZE, Photo, Source, find_photos, read_photo
from captioner.errors import MetadataError
from captioner.files import remove_abandoned
from captioner.images import Read, decode_photo
from captioner.index.update import Describe
from captioner.metadata.writer import WANTED, Place, Writer
from captioner.types import Caption

EPILOG = """\
The caption becomes dc:description (x-default) of XMP: in a sidecar, or with --embed in the photo, there also
IPTC's Caption-Abstract (JPEG) and EXIF's ImageDescription (JPEG, PNG), by exiftool. The picture stays as it is,
bit for bit, and so does what else a sidecar holds. Files are written beside their place, then renamed.

A description by a person, in the photo or in a sidecar, is left as it is. Text, model, version and confidence
are noted beside the caption: the same command again goes on where it stopped, another model replaces captions
of models alone, and --remove takes them away and puts back what --replace replaced.

output: one line per caption that is written, the photo's path and the caption with a tab between; a summary
goes to standard error.

exit status: 0 if all went well, 1 if a photo could not be read or written, 2 for a wrong option.

examples:
  captioner write photos/ --recursive --dry-run
  captioner write photos/ --recursive
  captioner write photo.jpg --embed --review mark
  captioner write photos/ --recursive --remove
"""
WRITTEN, LEFT, FAULTY, REMOVED, BARE = "written", "left", "faulty", "removed", "bare"
SUMMARY = {
    WRITTEN: "written",
    REMOVED: "removed",
    "done": "done before",
    "described": "described by a person",
    LEFT: "left for review",
    BARE: "without a caption of ours",
    FAULTY: "not read or written",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "photos", metavar="PHOTO", nargs="+", help="an image file, or a folder, which stands for the images in it"
    )
    parser.add_argument("--recursive", action="store_true", help="of a folder, also the images in its subfolders")
    add_place(parser)
    add_policy(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")
    parser.add_argument("--remove", action="store_true", help="take captions away that this command wrote")
    add_model(parser)
    add_decoding(parser, without={"num_captions"})


def run(arguments: Namespace) -> int:
    """Write captions; return the exit status."""
    options = decoding_options(arguments)
    sources, complete = find_photos(arguments.photos, recursive=arguments.recursive)
    files = files_of(sources)
    with opened_places(arguments, files) as (place, other):
        for folder in {file.parent for file in files}:
            if folder.is_dir() and not arguments.dry_run:
                remove_abandoned(folder)
        if arguments.remove:
            counts = _remove(sources, place, dry=arguments.dry_run)
        elif sources:
            predictor = load_model(arguments)
            writer = writer_of(arguments, place, other, predictor.info)
            counts = write_captions(
                sources,
                writer,
                lambda images: predictor.captions(images, options),
                dry=arguments.dry_run,
                read=predictor.read,
            )
        else:
            counts = Counter()
    told = ", ".join(f"{counts[kind]:,} {text}" for kind, text in SUMMARY.items() if counts[kind])
    complain(f"{'dry run, nothing was changed: ' if arguments.dry_run else ''}{told or 'nothing to do'}")
    return DONE if complete and not counts[FAULTY] else FAILED


def _progress(sources: Sequence[Source]) -> Any:
    hidden = len(sources) == 1 or not sys.stderr.isatty()
    return tqdm(total=len(sources), unit="photo", file=sys.stderr, disable=hidden)


def write_captions(
    sources: Sequence[Source], writer: Writer, describe: Describe, *, dry: bool, read: Read = decode_photo
) -> Counter[str]:
    """Write captions of photos; return how many photos there were of each kind.

    Args:
        sources: The photos.
        writer: Says which are wanted, and writes.
        describe: The model: captions of some pictures.
        dry: Whether nothing is written.
        read: How photos are read, such as by :meth:`captioner.predictor.CaptionPredictor.read`.
    """
    counts = Counter[str]()
    with _progress(sources) as progress:
        wanted = _wanted(sources, writer, read, counts, progress)
        while photos := list(islice(wanted, BATCH_SIZE)):
            found = describe([photo.image for photo in photos])
            for photo, (best, *_) in zip(photos, found, strict=True):
                counts[_put(photo.source, best, writer, dry=dry)] += 1
                progress.update()
    return counts


def _wanted(
    sources: Sequence[Source], writer: Writer, read: Read, counts: Counter[str], progress: Any
) -> Iterator[Photo]:
    """Yield the photos that are to be captioned, and count the others."""
    for source in sources:
        verdict = _verdict(source, writer)
        photo = read_photo(source, read) if verdict == WANTED else None
        if photo is not None:
            yield photo
        else:
            counts[FAULTY if verdict == WANTED else verdict] += 1
            progress.update()


def _verdict(source: Source, writer: Writer) -> str:
    try:
        return writer.verdict(source.file)
    except (OSError, MetadataError) as error:
        _complain_of(source, error)
        return FAULTY


def _put(source: Source, caption: Caption, writer: Writer, *, dry: bool) -> str:
    """Write a caption; return what became of it."""
    try:
        if not (writer.takes(caption) if dry else writer.write(source.file, caption)):
            return LEFT
    except (OSError, MetadataError) as error:
        _complain_of(source, error)
        return FAULTY
    say(f"{shown(source)}\t{escaped(caption.text)}")
    return WRITTEN


def _remove(sources: Sequence[Source], place: Place, *, dry: bool) -> Counter[str]:
    counts = Counter[str]()
    with _progress(sources) as progress:
        for source in sources:
            counts[_take_away(source, place, dry=dry)] += 1
            progress.update()
    return counts


def _take_away(source: Source, place: Place, *, dry: bool) -> str:
    try:
        there = place.found(source.file).record is not None if dry else place.remove(source.file)
    except (OSError, MetadataError) as error:
        _complain_of(source, error)
        return FAULTY
    if there:
        say(shown(source))
    return REMOVED if there else BARE


def _complain_of(source: Source, error: Exception) -> None:
    told = error.strerror if isinstance(error, OSError) and error.strerror else error
    complain(f"{shown(source)}: {told}")
