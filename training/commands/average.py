"""``captioner train average``: the mean of the weights of checkpoints of the same model, a model soup."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from captioner.checkpoint import save_checkpoint
from captioner.commands.output import DONE, say, warn
from training.commands.files import checkpoint_to_write, different_models
from training.initial.average import average

TYPES = {8: torch.int8, 16: torch.float16, 32: torch.float32}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="FILE", help="at least two, of the same model")
    parser.add_argument(
        "--out", type=checkpoint_to_write, required=True, metavar="OUT.safetensors", help="the mean of them"
    )
    parser.add_argument(
        "--weights", type=float, nargs="+", default=[], metavar="W", help="how much each counts; default: all alike"
    )
    parser.add_argument("--name", default="", help="what it calls itself; default: the first one's name")
    parser.add_argument("--version", default="1", help="its version; default: %(default)s")
    parser.add_argument(
        "--bits", type=int, choices=sorted(TYPES), default=16, help="per weight; 8 round matrices; default: %(default)s"
    )


def run(arguments: Namespace) -> int:
    """Write the mean; return the exit status."""
    models = different_models(arguments.checkpoints, "a mean is made of different checkpoints")
    averaged = average(models, arguments.name, arguments.version, arguments.weights)
    save_checkpoint(averaged, arguments.out, TYPES[arguments.bits])
    say(f"wrote {arguments.out}: the mean of {len(models)} checkpoints; its captions are not calibrated yet")
    if averaged.class_words is None and any(one.class_words for one in models.values()):
        warn(
            "class words are left out, since not all of these have the same; captioner train add-class-words adds them"
        )
    return DONE
