"""The model that is measured, and how it is computed."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import get_args

from captioner.loading import RuntimeName
from captioner.predictor import CaptionPredictor


def add_model_arguments(parser: ArgumentParser) -> None:
    """Add the flags that choose the model and how it is computed."""
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="the model; default: the shipped one")
    parser.add_argument(
        "--runtime", choices=get_args(RuntimeName), default="auto", help="what computes it (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the model; default: its choice")


def load_chosen(arguments: Namespace) -> CaptionPredictor:
    """Load the model that the command line chose.

    Raises:
        CheckpointError: If the file cannot be used.
        OptionError: If the runtime is not installed, or the file is not for it.
    """
    return CaptionPredictor.from_checkpoint(arguments.checkpoint, runtime=arguments.runtime, threads=arguments.threads)


def runtime_name(predictor: CaptionPredictor) -> str:
    """Return what computes a model, by its file in ``captioner/runtimes``."""
    return type(predictor.runtime).__module__.rpartition(".")[2]


def describe(predictor: CaptionPredictor) -> str:
    """Return a model's name and version, and what computes it."""
    return f"{predictor.info.name} {predictor.info.version}, by {runtime_name(predictor)}"
