"""``captioner train prepare coco --year 2014 --root DIR``: a data set from the web, ready for a recipe."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from captioner.commands.output import DONE, say
from training.data.download.prepare import prepare
from training.data.download.remote import COCO_FILES
from training.errors import DataError

STOPPED = 130  # what a shell reports of a command that SIGINT ended
PARTS = ("annotations", "train", "val", "karpathy")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("dataset", choices=["coco"], help="which data set")
    parser.add_argument("--year", type=int, choices=sorted(COCO_FILES), required=True)
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="where to")
    parser.add_argument(
        "--what",
        nargs="+",
        choices=PARTS,
        metavar="PART",
        help=f"of {', '.join(PARTS)} (the splits of most papers, for the photos of 2014); default: all of the year",
    )
    parser.add_argument("--delete-zips", action="store_true", help="delete each zip file once it is unpacked")


def run(arguments: Namespace) -> int:
    """Prepare what is asked for, and print a recipe's table that uses it; return the exit status."""
    known = COCO_FILES[arguments.year]
    parts = arguments.what or list(known)
    unknown = [part for part in parts if part not in known]
    if unknown:
        raise DataError(f"--what {' '.join(unknown)}: of {arguments.year} there are {', '.join(known)}")
    try:
        done = prepare([known[part] for part in parts], arguments.root, delete_zips=arguments.delete_zips)
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        return STOPPED
    for item in done:
        say(f"{item.name}: {item.files:,} files, {item.size / 1e9:.2f} GB")
    say("\nFor a recipe:\n")
    say(recipe_table(arguments.root, arguments.year, parts))
    say("\nThen look it over: captioner train check --recipe RECIPE.toml")
    return DONE


def recipe_table(root: Path, year: int, parts: Sequence[str]) -> str:
    """Return a recipe's ``[data]`` table, on Karpathy's splits if they are among the parts."""
    if "karpathy" in parts:
        annotations = {"train": "dataset_coco.json", "val": "dataset_coco.json"}
        images = {"train": ".", "val": "."}
        splits = ['train_split = ["train", "restval"]', 'val_split = ["val"]']
    else:
        annotations = {part: f"captions_{part}{year}.json" for part in ("train", "val")}
        images = {part: f"{part}{year}" for part in ("train", "val")}
        splits = []
    lines = [
        line
        for part in ("train", "val")
        for line in (f'{part}_annotations = "annotations/{annotations[part]}"', f'{part}_images = "{images[part]}"')
    ]
    return "\n".join(["[data]", f"root = '{root.absolute()}'", *lines, *splits])
