"""``python -m training``: train a model, measure one, or look into one."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from captioner.errors import CaptionerError
from captioner.memory import keep_freed_memory
from training.commands import calibrate, check, evaluate, fit_text, gradients, prepare, sample, units
from training.errors import TrainingError
from training.fit import resume, start_or_restart
from training.recipe import load_recipe
from training.world import join_world

COMMANDS = {
    "prepare": prepare,
    "check": check,
    "evaluate": evaluate,
    "calibrate": calibrate,
    "fit-text": fit_text,
    "sample": sample,
    "units": units,
    "gradients": gradients,
}
STOPPED = 130  # what a shell reports of a command that SIGINT ended


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = top.add_subparsers(required=True)

    fit = commands.add_parser("fit", help="train a model by a recipe; Ctrl-C stops it so that it can be resumed")
    source = fit.add_mutually_exclusive_group(required=True)
    source.add_argument("--recipe", type=Path, metavar="FILE.toml", help="start the run that the recipe describes")
    source.add_argument("--resume", type=Path, metavar="RUN", help="go on with the run in this folder")
    fit.add_argument("--set", action="append", default=[], metavar="KEY.SUB=VALUE", help="replace a recipe's value")
    fit.set_defaults(run=run_fit)

    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name, help=command.HELP, description=f"{command.HELP[0].upper()}{command.HELP[1:]}."
        )
        command.add_arguments(added)
        added.set_defaults(run=command.run)
    return top


def run_fit(args: argparse.Namespace) -> int:
    """Start or resume a run."""
    if args.resume and args.set:
        raise TrainingError("--set changes a recipe; a resumed run keeps its own")
    with join_world() as world:
        trainer = (
            resume(args.resume, world) if args.resume else start_or_restart(load_recipe(args.recipe, args.set), world)
        )
        finished = trainer.run()
    if world.leads:
        best = trainer.best_epoch
        over = f"finished; the best epoch is {0 if best is None else best + 1}: {trainer.best_file}"
        print(over if finished else f"stopped; go on with: python -m training fit --resume {trainer.folder}")
    return 0 if finished else STOPPED


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    keep_freed_memory()
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except (CaptionerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
