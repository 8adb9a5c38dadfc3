"""``python -m training fit-text``: train a language model."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from captioner.commands.output import DONE, say
from training.errors import TrainingError
from training.language.fit import resume_text, start_text
from training.language.recipe import LanguageRecipe
from training.recipe import read_recipe

HELP = "train a language model on plain text; Ctrl-C stops it so that it can be resumed"
STOPPED = 130  # what a shell reports of a command that SIGINT ended


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--recipe", type=Path, metavar="FILE.toml", help="start the run that the recipe describes")
    source.add_argument("--resume", type=Path, metavar="RUN", help="go on with the run in this folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.SUB=VALUE", help="replace a recipe's value")


def run(arguments: Namespace) -> int:
    """Start or resume a run; return the exit status."""
    if arguments.resume and arguments.set:
        raise TrainingError("--set changes a recipe; a resumed run keeps its own")
    if arguments.resume:
        trainer = resume_text(arguments.resume)
    else:
        trainer = start_text(read_recipe(LanguageRecipe, arguments.recipe, arguments.set))
    if not trainer.run():
        say(f"stopped; go on with: python -m training fit-text --resume {trainer.folder}")
        return STOPPED
    best = trainer.best_epoch
    say(f"finished; the best epoch is {0 if best is None else best + 1}: {trainer.best_file}")
    return DONE
