"""``captioner train quantize``: store the matrices of a model in 8 bits, as shipped models do."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from captioner.checkpoint import load_checkpoint, save_checkpoint
from captioner.commands.output import DONE, say
from training.commands.files import checkpoint_to_write


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("checkpoint", type=Path, metavar="FILE", help="a captioning model")
    parser.add_argument(
        "--out", type=checkpoint_to_write, required=True, metavar="OUT.safetensors", help="the smaller file"
    )


def run(arguments: Namespace) -> int:
    """Write the smaller file; return the exit status."""
    before = arguments.checkpoint.stat().st_size
    save_checkpoint(load_checkpoint(arguments.checkpoint), arguments.out, torch.int8)
    after = arguments.out.stat().st_size
    say(f"wrote {arguments.out}: {after / 1e6:.1f} MB ({before / 1e6:.1f} before); matrices in 8 bits, the rest in 16")
    return DONE
