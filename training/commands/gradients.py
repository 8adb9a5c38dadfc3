"""``captioner train gradients --out OUT.png``: how gradients fade through time, cell by cell."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from captioner.commands.output import DONE, say
from training.commands.files import png_file
from training.gradients import GradientOptions, Variant, mean_norms, norm_table, save_gradient_plot
from training.language.text import read_text

CELLS = "rnn,gru,lstm:0,lstm:1"
DEFAULTS = GradientOptions()


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", type=png_file, required=True, metavar="OUT.png", help="the drawing")
    parser.add_argument("--steps", type=int, default=DEFAULTS.steps, help="how far back; default: %(default)s")
    parser.add_argument("--hidden", type=int, default=DEFAULTS.hidden_size, help="units; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=DEFAULTS.seeds, help="cells of each kind; default: %(default)s")
    parser.add_argument(
        "--cells",
        default=CELLS,
        metavar="NAMES",
        help="which, with commas between; lstm:BIAS sets the forget gate's bias; default: %(default)s",
    )
    parser.add_argument("--text-file", type=Path, metavar="F", help="what they read; default: random vectors")


def run(arguments: Namespace) -> int:
    """Print a table and draw it; return the exit status."""
    variants = [Variant.parse(name) for name in arguments.cells.split(",")]
    text = "" if arguments.text_file is None else read_text([arguments.text_file])
    options = GradientOptions(arguments.steps, arguments.hidden, arguments.seeds, text)
    norms = [(variant, mean_norms(variant, options)) for variant in variants]
    reading = f"reading {arguments.text_file.name}" if text else "reading random vectors"
    note = f"{options.hidden_size} units, fresh weights, {reading}, mean of {options.seeds}"
    say(note)
    say("state: the hidden vector; of an LSTM, the hidden and the cell vector together")
    say(norm_table(norms))
    save_gradient_plot(arguments.out, norms, note)
    return DONE
