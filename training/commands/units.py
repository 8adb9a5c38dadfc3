"""``captioner train units FILE``: what single units of a language model do over a text."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from captioner.activations import Unit, choose_units, unit_plot, unit_rows
from captioner.commands.arguments import add_device
from captioner.commands.output import DONE, say
from training.commands.files import png_file
from training.language.activations import text_activations
from training.language.model import load_language_model
from training.language.text import read_text


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a language model, such as runs/NAME/best.safetensors")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", help="what it reads")
    source.add_argument("--text-file", type=Path, metavar="F", help="a plain text file that it reads")
    parser.add_argument(
        "--unit",
        metavar="NAME:INDEX",
        nargs="+",
        action="extend",
        default=[],
        help="units such as language.1.cell:17; default: the hidden units of the top layer that vary most",
    )
    parser.add_argument("--out", type=png_file, required=True, metavar="OUT.png", help="the drawing")
    add_device(parser)


def run(arguments: Namespace) -> int:
    """Draw units, and list the gates and states that there are; return the exit status."""
    asked = [Unit.parse(text) for text in arguments.unit]
    text = arguments.text if arguments.text_file is None else read_text([arguments.text_file])
    pieces, activations = text_activations(load_language_model(arguments.file, arguments.device), text)
    units = asked or choose_units(activations)
    unit_plot(pieces, unit_rows(activations, units)).save(arguments.out)
    for name, values in activations.items():
        chosen = [str(unit.index) for unit in units if unit.name == name]
        say("\t".join([name, str(values.shape[1]), " ".join(chosen)]).rstrip())
    return DONE
