"""Count how many captions per second training learns from, and how many photos per second it encodes.

A set of coloured shapes is drawn for it, whose captions have as many different words as real ones; no step of a run
knows the difference. Every kind of step is timed once in every round.
"""

import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.report import add_json_argument, introduce, publish
from benchmarks.timing import Times, Work, in_turn, ratio, summary
from benchmarks.training.runs import PHASES, Sizes, encode_work, shapes_recipe, step_works
from benchmarks.training.shapes import Shapes, write_shapes
from captioner.cpus import available_cpus
from captioner.errors import OptionError
from training.runs.distributed import World
from training.runs.optim import uses_bfloat16
from training.runs.start import start

EPILOG = __doc__
BATCHES = 8  # different ones
FEWEST = 4  # photos to validate on, which a run must have
TITLES = {"name": "step", "per_second": "per second", "of": "of", "median_ms": "ms each", "ratio": "times as long"}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    sizes = Sizes()
    parser.add_argument("--encoder", default=sizes.encoder, metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--pixels", type=int, default=288, help="of a photo's side (default: %(default)s)")
    parser.add_argument("--units", type=int, default=sizes.units, help="of the decoder (default: %(default)s)")
    parser.add_argument("--photos", type=int, default=sizes.photos, help="in a batch (default: %(default)s)")
    parser.add_argument("--words", type=int, default=2500, help="that captions have (default: %(default)s)")
    parser.add_argument(
        "--precision", default="auto", choices=["auto", "float32", "bfloat16"], help="(default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="where to learn, such as cuda (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads; default: as many as there are CPUs")
    parser.add_argument("--rounds", type=int, default=10, help="how often each step is timed (default: %(default)s)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.SUB=VALUE",
        dest="overrides",
        help="replace values of the recipe",
    )
    add_json_argument(parser)


def run(arguments: Namespace) -> int:
    """Time the steps and print the table."""
    torch.set_num_threads(arguments.threads or available_cpus())
    device = require_device(arguments.device)
    sizes = Sizes(arguments.encoder, arguments.pixels, arguments.units, arguments.photos)
    low = uses_bfloat16(arguments.precision, device)
    introduce(device=device_name(device), precision="bfloat16" if low else "float32", **vars(sizes))
    with tempfile.TemporaryDirectory() as folder:
        works = draw_and_begin(Path(folder), sizes, arguments, device)
        times = in_turn(works, arguments.rounds)
    publish("training", rows(times), TITLES, arguments.json, device=device_name(device), bfloat16=low, **vars(sizes))
    return 0


def require_device(name: str) -> torch.device:
    """Return a device by its name.

    Raises:
        OptionError: If torch does not know it, or it is a GPU that is not there.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise OptionError(f"device is {name!r}: {error}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise OptionError(f"device is {name!r}, but torch {torch.__version__} sees no GPU here")
    return device


def device_name(device: torch.device) -> str:
    """Say what a device is: the name of the card, or the number of CPU threads."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)"


def draw_and_begin(folder: Path, sizes: Sizes, arguments: Namespace, device: torch.device) -> list[Work]:
    """Draw the set, and return what is timed on it."""
    shapes = Shapes(BATCHES * sizes.photos, FEWEST, sizes.pixels, max(arguments.words, 0))
    write_shapes(folder, shapes)
    how = arguments.precision, device, arguments.overrides
    works = step_works(folder, sizes, *how)
    recipe = shapes_recipe(folder, "encode", sizes, [PHASES["cross-entropy on kept features"]], how[0], how[2])
    return [encode_work(start(recipe, World(device=device)), device), *works]


def rows(times: Times) -> list[dict[str, Any]]:
    """Return a row for each kind of step, beside that on kept features."""
    base = next(iter(PHASES))
    return [
        {
            "name": name,
            "per_second": 1 / median(values),
            "of": "captions" if name in PHASES else "photos",
            **summary(values),
            "ratio": ratio(values, times[base]).median if name in PHASES else None,
        }
        for name, values in times.items()
    ]
