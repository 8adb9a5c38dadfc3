"""``captioner export OUT``: add ONNX graphs to a model, so that it runs without torch."""

from argparse import ArgumentParser, Namespace
from json import dumps

from captioner.answers.header import KIND
from captioner.commands.arguments import add_model, local_file
from captioner.commands.output import DONE, say
from captioner.errors import OptionError
from captioner.header import CheckpointFile
from captioner.runtimes.export import BITS, export_checkpoint

EPILOG = """\
OUT is the same checkpoint with graphs beside its weights: ONNX Runtime or torch serves it.
The graphs are compared with torch before anything is written.

a file that answers questions (see captioner ask) gets graphs of its own in the same way.

with --bits 8 the decoder multiplies 8-bit integers, which is faster; the matrices of the
file are rounded to them, where captions would change in blocks, or to 16 bits.

example:
  captioner export --checkpoint model.safetensors --bits 8 served.safetensors
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("out", metavar="OUT", type=local_file, help="the file to write; it may be the model's own")
    add_model(parser)
    parser.add_argument("--format", choices=["onnx"], default="onnx", help="which graphs (default: onnx)")
    parser.add_argument(
        "--bits", type=int, choices=BITS, default=BITS[-1], help="of what the decoder multiplies (default: 32)"
    )


def run(arguments: Namespace) -> int:
    """Export a model; return the exit status."""
    if arguments.checkpoint and CheckpointFile.read(arguments.checkpoint).metadata.get("kind") == dumps(KIND):
        return _export_answers(arguments)
    found = export_checkpoint(arguments.checkpoint, arguments.out, arguments.bits)
    size = arguments.out.stat().st_size / 1e6
    say(
        f"wrote {arguments.out}: {size:.1f} MB; over noise its log-probabilities are at most {found.largest:.2g} "
        f"from torch's, {100 * found.relative:.2g} % of their spread"
    )
    return DONE


def _export_answers(arguments: Namespace) -> int:
    from captioner.answers.export import export_answers  # noqa: PLC0415 - so that torch is what is missed first

    if arguments.bits != BITS[-1]:
        raise OptionError("--bits is for captioning models; a file that answers questions is small and fast without")
    error = export_answers(arguments.checkpoint, arguments.out)
    size = arguments.out.stat().st_size / 1e6
    say(f"wrote {arguments.out}: {size:.1f} MB; over noise its probabilities are at most {error:.2g} from torch's")
    return DONE
