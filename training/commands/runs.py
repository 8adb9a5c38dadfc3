"""What the commands share that start a training run or go on with one."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from captioner.commands.output import DONE, say, warn
from training.errors import TrainingError
from training.recipe import read_recipe
from training.runs.overview import overview_text
from training.runs.run import Run

T = TypeVar("T")
STOPPED = 130  # what a shell reports of a command that SIGINT ended


def add_source(parser: ArgumentParser) -> None:
    """Add the arguments that say what to start or go on with."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--recipe", type=Path, metavar="FILE.toml", help="start the run that the recipe describes")
    source.add_argument("--resume", type=Path, metavar="RUN", help="go on with the run in this folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.SUB=VALUE", help="replace a recipe's value")


def run_from(
    arguments: Namespace,
    command: str,
    kind: type[T],
    start: Callable[[T], Run[Any, Any]],
    resume: Callable[[Path], Run[Any, Any]],
) -> int:
    """Start or resume a run, and train; return the exit status.

    Args:
        arguments: Those of :func:`add_source`.
        command: Its name, for a message.
        kind: The recipe's dataclass.
        start: From a recipe to a new run.
        resume: From a folder to the run in it.
    """
    if arguments.resume and arguments.set:
        raise TrainingError("--set changes a recipe; a resumed run keeps its own")
    if arguments.resume:
        trainer = resume(arguments.resume)
    else:
        trainer = start(read_recipe(kind, arguments.recipe, arguments.set))
    if trainer.world.leads:
        say(overview_text(trainer.overview()))
        for remark in trainer.remarks():
            warn(remark)
    try:
        finished = trainer.run()
    except KeyboardInterrupt:  # while features are made: they are kept as far as they are
        finished = False
    if trainer.world.leads:
        say(outcome(trainer, finished, command))
        for remark in trainer.remarks() if finished else ():
            warn(remark)
    return DONE if finished else STOPPED


def outcome(trainer: Run[Any, Any], finished: bool, command: str) -> str:
    """Return the last line of a command: where the best model is, or how to go on."""
    if not finished:
        return f"stopped; go on with: captioner train {command} --resume {trainer.folder}"
    best = trainer.best_epoch
    return f"finished; the best epoch is {0 if best is None else best + 1}: {trainer.best_file}"
