"""``captioner train join``: make an ensemble of models that were trained apart."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from captioner.checkpoint import save_checkpoint
from captioner.commands.output import DONE, say, warn
from training.commands.files import checkpoint_to_write, different_models
from training.initial.ensemble import join

TYPES = {8: torch.int8, 16: torch.float16}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="FILE", help="at least two models")
    parser.add_argument(
        "--out", type=checkpoint_to_write, required=True, metavar="OUT.safetensors", help="the ensemble"
    )
    parser.add_argument("--name", required=True, help="what it calls itself")
    parser.add_argument("--version", default="1", help="its version; default: %(default)s")
    parser.add_argument(
        "--bits", type=int, choices=sorted(TYPES), default=16, help="per weight; 8 round matrices; default: %(default)s"
    )


def run(arguments: Namespace) -> int:
    """Join the models and write the ensemble; return the exit status."""
    models = different_models(arguments.checkpoints, "an ensemble is made of models that were trained apart")
    joined = join(models, arguments.name, arguments.version)
    save_checkpoint(joined, arguments.out, TYPES[arguments.bits])
    say(f"wrote {arguments.out}: {joined.model.config.decoder.members} decoders; its captions are not calibrated yet")
    if any(one.class_words for one in models.values()):
        warn("class words are left out; their classifier reads the vector of one encoder alone")
    return DONE
