"""What the commands share that start a training run or go on with one."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from captioner.commands.arguments import add_device
from captioner.commands.output import DONE, say, warn
from training.errors import TrainingError
from training.recipe import read_recipe
from training.runs.distributed import World
from training.runs.overview import overview_text
from training.runs.run import Run
from training.runs.start import AnyRecipe, resume, start_or_restart

STOPPED = 130  # what a shell reports of a command that SIGINT ended


def add_source(parser: ArgumentParser) -> None:
    """Add the arguments that say what to start or go on with, and where."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--recipe", type=Path, metavar="FILE.toml", help="start the run that the recipe describes")
    source.add_argument("--resume", type=Path, metavar="RUN", help="go on with the run in this folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.SUB=VALUE", help="replace a recipe's value")
    add_device(parser)


def run_from(arguments: Namespace, command: str, kind: type[AnyRecipe], world: World) -> int:
    """Start or resume a run, and train; return the exit status.

    Args:
        arguments: Those of :func:`add_source`.
        command: Its name, for a message.
        kind: The recipe's dataclass.
        world: The processes that train together.
    """
    if arguments.resume and arguments.set:
        raise TrainingError("--set changes a recipe; a resumed run keeps its own")
    if arguments.resume:
        run = resume(arguments.resume, kind, world)
    else:
        run = start_or_restart(read_recipe(kind, arguments.recipe, arguments.set), world)
    return learn(run, command, world)


def learn(run: Run[Any], command: str, world: World) -> int:
    """Say what a run is about, train, and say what came of it; return the exit status."""
    if world.leads:
        say(overview_text(run.overview()))
        for remark in run.remarks():
            warn(remark)
    try:
        finished = run.run()
    except KeyboardInterrupt:  # while features are made: they are kept as far as they are
        finished = False
    if world.leads:
        say(outcome(run, finished, command))
        for remark in run.remarks() if finished else ():
            warn(remark)
    return DONE if finished else STOPPED


def outcome(run: Run[Any], finished: bool, command: str) -> str:
    """Return the last line of a command: where the best model is, or how to go on."""
    if not finished:
        return f"stopped; go on with: captioner train {command} --resume {run.folder}"
    best = run.best_epoch
    return f"finished; the best epoch is {0 if best is None else best + 1}: {run.best_file}"
