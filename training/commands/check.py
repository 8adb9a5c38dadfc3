"""``captioner train check --recipe R.toml``: what is wrong with a data set, before training on it."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from captioner.commands.output import DONE, FAILED, say
from training.commands.files import file_to_write
from training.data import CaptionSource
from training.data.check.check import CheckOptions, Report, check, parts_of, parts_of_file
from training.data.check.report import report_text
from training.errors import DataError
from training.recipe import PARTS, load_recipe


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--recipe", type=Path, metavar="FILE.toml", help="check what the recipe learns from")
    source.add_argument("--annotations", type=Path, metavar="FILE", help="check this file of captions")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.SUB=VALUE", help="replace a recipe's value")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of the photos that --annotations names")
    parser.add_argument("--split", nargs="+", default=[], metavar="NAME", help="only these splits, or lists of photos")
    parser.add_argument(
        "--format", default="", metavar="NAME", help="of --annotations; default: recognised by its content"
    )
    parser.add_argument("--no-photos", action="store_true", help="do not open photos, only see whether they are there")
    parser.add_argument("--json", type=file_to_write, metavar="OUT", help="also write what was found there")


def run(arguments: Namespace) -> int:
    """Print what was found; return 1 if something of it is serious."""
    report = _recipe(arguments) if arguments.recipe else _file(arguments)
    say(report_text(report))
    if arguments.json:
        text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return FAILED if report.serious else DONE


def _recipe(arguments: Namespace) -> Report:
    if arguments.images or arguments.split or arguments.format:
        raise DataError("--images, --split and --format go with --annotations; a recipe says them itself (see --set)")
    recipe = load_recipe(arguments.recipe, arguments.set)
    pieces = recipe.tokenizer
    options = CheckOptions(
        max_tokens=recipe.data.max_tokens,
        tokenizer=pieces.name,
        min_count=pieces.min_count,
        max_size=pieces.max_size,
        photos=not arguments.no_photos,
    )
    return check(parts_of({part: recipe.data.source(part) for part in PARTS}), options)


def _file(arguments: Namespace) -> Report:
    if arguments.set:
        raise DataError("--set changes a recipe; it goes with --recipe")
    if arguments.images is None:
        raise DataError("--annotations needs --images, the folder of its photos")
    source = CaptionSource(arguments.annotations, arguments.images, tuple(arguments.split), arguments.format)
    return check(parts_of_file(source), CheckOptions(photos=not arguments.no_photos))
