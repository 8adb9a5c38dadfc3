"""``captioner find WORDS``: photos of an index by words."""

import json
from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from captioner.commands.index import add_index
from captioner.commands.output import DONE, FAILED, complain, escaped, say, shown
from captioner.errors import OptionError
from captioner.index.database import MAX_HITS, Hit, PhotoIndex
from captioner.index.place import default_index

EPILOG = """\
Words are compared by their stems, so that dogs finds a dog. First come photos with all the words, the rarest
words counting most; if there are none, those with some of them.

output: one line per photo, its path and its caption with a tab between; with --json one JSON object.

exit status: 0 if something was found, 1 if not, 2 for a wrong option.
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("words", metavar="WORDS", nargs="+", help="what to look for")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="most photos; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_index(parser)


def run(arguments: Namespace) -> int:
    """Find photos; return the exit status."""
    if not 1 <= arguments.limit <= MAX_HITS:
        raise OptionError(f"--limit is {arguments.limit}; it must be between 1 and {MAX_HITS}")
    found = PhotoIndex(arguments.index or default_index()).find(" ".join(arguments.words), arguments.limit)
    for hit in found:
        say(_json(hit) if arguments.json else f"{shown(hit.file)}\t{escaped(hit.description or hit.caption)}")
    if not found:
        complain("nothing found")
    return DONE if found else FAILED


def _json(hit: Hit) -> str:
    return json.dumps(
        {"path": str(hit.file), **{name: value for name, value in asdict(hit).items() if name not in ("root", "path")}}
    )
