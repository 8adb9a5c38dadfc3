"""The model that is measured, and how it is computed."""

import inspect
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import torch

from captioner.errors import OptionError
from captioner.predictor import CaptionPredictor

ONLY_RUNTIME = "torch"  # what computes in versions of the library that leave no choice


def add_model_arguments(parser: ArgumentParser) -> None:
    """Add the flags that choose the model and how it is computed."""
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="the model; default: the shipped one")
    parser.add_argument(
        "--runtime", metavar="NAME", help="what computes it, such as torch; default: the library's choice"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads of the model; default: the library's choice"
    )


def knows_runtimes() -> bool:
    """Return whether this version of the library leaves a choice of what computes a model."""
    return "runtime" in inspect.signature(CaptionPredictor.from_checkpoint).parameters


def load(checkpoint: Path | None, runtime: str | None = None, threads: int | None = None) -> CaptionPredictor:
    """Load a model.

    Args:
        checkpoint: Its file; ``None`` is the shipped model.
        runtime: What shall compute it; ``None`` leaves it to the library.
        threads: CPU threads; ``None`` leaves that to the library, too.

    Raises:
        OptionError: If a runtime is asked for that this version of the library does not have.
        CheckpointError: If the file cannot be used.
    """
    further: dict[str, Any] = {"threads": threads}
    if runtime is not None and knows_runtimes():
        further["runtime"] = runtime
    elif runtime not in (None, ONLY_RUNTIME):
        raise OptionError(f"runtime is {runtime!r}; this version of the library computes with {ONLY_RUNTIME} alone")
    return CaptionPredictor.from_checkpoint(checkpoint, **further)


def load_chosen(arguments: Namespace) -> CaptionPredictor:
    """Load the model that the command line chose."""
    return load(arguments.checkpoint, arguments.runtime, arguments.threads)


def load_torch(arguments: Namespace, chosen: CaptionPredictor) -> CaptionPredictor:
    """Return the same model computed by torch, which is the chosen one where nothing else computes."""
    return load(arguments.checkpoint, ONLY_RUNTIME, arguments.threads) if knows_runtimes() else chosen


def describe(predictor: CaptionPredictor) -> str:
    """Return a model's name and version."""
    return f"{predictor.info.name} {predictor.info.version}"


def load_on(checkpoint: Path | None, device: torch.device) -> CaptionPredictor:
    """Load a model that torch computes on a device."""
    predictor = load(checkpoint, ONLY_RUNTIME)
    predictor.model.to(device)
    return predictor
