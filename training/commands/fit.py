"""``captioner train fit``: train a captioning model."""

from argparse import ArgumentParser, Namespace
from functools import partial

from training.commands.runs import add_source, run_from
from training.recipe import Recipe
from training.recipe_keys import listing
from training.runs.distributed import join_world
from training.runs.start import resume, start_or_restart

EPILOG = listing(Recipe)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)


def run(arguments: Namespace) -> int:
    """Start or resume a run, alone or as one of several processes; return the exit status."""
    with join_world() as world:
        return run_from(arguments, "fit", Recipe, partial(start_or_restart, world=world), partial(resume, world=world))
