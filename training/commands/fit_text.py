"""``captioner train fit-text``: train a language model."""

from argparse import ArgumentParser, Namespace

from training.commands.runs import add_source, run_from
from training.language.recipe import LanguageRecipe
from training.recipe_keys import listing
from training.runs.distributed import lone_world

EPILOG = listing(LanguageRecipe)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)


def run(arguments: Namespace) -> int:
    """Start or resume a run; return the exit status."""
    return run_from(arguments, "fit-text", LanguageRecipe, lone_world("fit-text", arguments.device))
