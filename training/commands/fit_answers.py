"""``captioner train fit-answers``: teach a network to answer questions about photos."""

from argparse import ArgumentParser, Namespace

from training.answers.recipe import AnswerRecipe
from training.commands.runs import add_source, run_from
from training.recipe_keys import listing
from training.runs.distributed import lone_world

EPILOG = listing(AnswerRecipe)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)


def run(arguments: Namespace) -> int:
    """Start or resume a run; return the exit status."""
    return run_from(arguments, "fit-answers", AnswerRecipe, lone_world("fit-answers", arguments.device))
