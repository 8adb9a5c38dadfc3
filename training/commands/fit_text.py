"""``captioner train fit-text``: train a language model."""

from argparse import ArgumentParser, Namespace
from functools import partial

from training.commands.runs import add_source, run_from
from training.language.fit import resume_text, start_text
from training.language.recipe import LanguageRecipe
from training.recipe_keys import listing
from training.runs.distributed import lone_world

EPILOG = listing(LanguageRecipe)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)


def run(arguments: Namespace) -> int:
    """Start or resume a run; return the exit status."""
    world = lone_world("fit-text")
    start, resume = partial(start_text, world=world), partial(resume_text, world=world)
    return run_from(arguments, "fit-text", LanguageRecipe, start, resume)
