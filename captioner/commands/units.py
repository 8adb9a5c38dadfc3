"""``captioner units PHOTO --out OUT.png``: what single gates and states did at each word."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from captioner.activations import Unit, choose_units, unit_plot, unit_rows
from captioner.commands.arguments import add_decoding, add_model, decoding_options, given_decoding, load_model, spelled
from captioner.commands.output import DONE, FAILED, say
from captioner.commands.photos import Source, picture_files, read_photo
from captioner.errors import OptionError

EPILOG = """\
Each unit is a row that repeats the caption, each word on the colour of the unit's activation: from blue, -1,
over white, 0, to red, 1; for gates from white, 0, closed, to green, 1, open. Wider ranges stand in the legend.

output: without --unit, one line per gate and state: its name, the number of its units, and those that were
drawn, with tabs between.
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("photo", metavar="PHOTO", type=Source.named, help="an image file; - is standard input")
    parser.add_argument(
        "--out",
        metavar="OUT",
        required=True,
        help="the drawing, OUT.png; a name without an ending is a folder, which gets a PNG named after the photo",
    )
    parser.add_argument("--text", help="a caption that you wrote; default: the one that the model finds")
    parser.add_argument(
        "--unit",
        metavar="NAME:INDEX",
        action="append",
        default=[],
        help="a unit such as language.0.forget:17, of the names that this command prints without it; may be given "
        "several times; default: the hidden units of each stack's top layer that vary most",
    )
    add_model(parser)
    add_decoding(parser, without={"num_captions"})


def run(arguments: Namespace) -> int:
    """Draw units; return the exit status."""
    units = [Unit.parse(text) for text in arguments.unit]
    _check_text_alone(arguments)
    [file] = picture_files("--out", arguments.out, [arguments.photo.name], [arguments.photo])
    options, predictor = decoding_options(arguments), load_model(arguments)
    photo = read_photo(arguments.photo, predictor.read)
    if photo is None:
        return FAILED
    if arguments.text is not None:
        caption = predictor.score(photo.image, arguments.text, activations=True)
    else:
        caption = predictor.caption(photo.image, options, activations=True)
    activations = caption.activations or {}
    drawn = units or choose_units(activations)
    unit_plot([word.text for word in caption.words], unit_rows(activations, drawn)).save(file)
    if not units:
        _list(activations, drawn)
    return DONE


def _check_text_alone(arguments: Namespace) -> None:
    given = given_decoding(arguments)
    if arguments.text is not None and given:
        raise OptionError(f"--text is read as it is; {', '.join(map(spelled, given))} would change nothing")


def _list(activations: Mapping[str, NDArray[np.float32]], drawn: Iterable[Unit]) -> None:
    chosen: dict[str, list[str]] = {}
    for unit in drawn:
        chosen.setdefault(unit.name, []).append(str(unit.index))
    for name, values in activations.items():
        say("\t".join([name, str(values.shape[1]), *([" ".join(chosen[name])] if name in chosen else [])]))
