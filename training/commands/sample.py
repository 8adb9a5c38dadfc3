"""``captioner train sample FILE``: text from a language model."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from captioner.commands.arguments import add_device
from captioner.commands.output import DONE, say
from training.language.model import load_language_model
from training.language.sampling import SampleOptions, write_samples

DEFAULTS = SampleOptions()


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a language model, such as runs/NAME/best.safetensors")
    parser.add_argument("--beginning", default="", metavar="TEXT", help="what every sample starts with")
    parser.add_argument(
        "--length", type=int, default=DEFAULTS.length, help="tokens after the beginning; default: %(default)s"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=DEFAULTS.temperature,
        help="below 1 is safer, above 1 is bolder; default: %(default)s",
    )
    parser.add_argument("--top-k", type=int, default=DEFAULTS.top_k, help="draw from the K most probable; 0 is all")
    parser.add_argument(
        "--top-p",
        type=float,
        default=DEFAULTS.top_p,
        help="draw from the fewest that hold this probability; default: %(default)s",
    )
    parser.add_argument("--seed", type=int, help="equal seeds give equal samples; default: new ones each time")
    parser.add_argument("--count", type=int, default=DEFAULTS.count, help="how many samples; default: %(default)s")
    add_device(parser)


def run(arguments: Namespace) -> int:
    """Print samples, with an empty line between them; return the exit status."""
    options = SampleOptions(
        length=arguments.length,
        count=arguments.count,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
        beginning=arguments.beginning,
    )
    say("\n\n".join(write_samples(load_language_model(arguments.file, arguments.device), options)))
    return DONE
