"""``captioner inspect [FILE]``: what a checkpoint says of itself."""

import json
import math
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from safetensors import safe_open

from captioner.class_words import PREFIX
from captioner.commands.arguments import local_file
from captioner.commands.output import DONE, say
from captioner.header import GRAPHS, LARGEST, SCALE, SHIPPED, read_header


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("checkpoint", metavar="FILE", nargs="?", type=local_file, help="default: the shipped model")


def run(arguments: Namespace) -> int:
    """Describe a checkpoint; return the exit status."""
    path = arguments.checkpoint or SHIPPED
    header = read_header(path)
    with safe_open(path, framework="np") as file:
        names = [name for name in file.keys() if not name.endswith((SCALE, LARGEST))]  # noqa: SIM118 - it is no mapping
        names = [name for name in names if not name.startswith((GRAPHS, PREFIX))]
        shapes = [file.get_slice(name).get_shape() for name in names]
    numbers = {"parameters": sum(map(math.prod, shapes)), "file_bytes": path.stat().st_size}
    say(json.dumps({"file": str(path), **numbers, **_abbreviated(header)}, indent=2))
    return DONE


def _abbreviated(values: Mapping[str, Any], most: int = 8) -> dict[str, Any]:
    """Replace long lists, above all the vocabulary, by their size and first entries."""
    short: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            short[name] = _abbreviated(value, most)
        elif isinstance(value, list) and len(value) > most:
            short[name] = {"size": len(value), "first": value[:most]}
        else:
            short[name] = value
    return short
