"""``captioner train fit``: train a captioning model."""

from argparse import ArgumentParser, Namespace

from training.commands.runs import add_source, run_from
from training.recipe import Recipe
from training.recipe_keys import listing
from training.runs.distributed import join_world

EPILOG = listing(Recipe)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)


def run(arguments: Namespace) -> int:
    """Start or resume a run, alone or as one of several processes; return the exit status."""
    with join_world(arguments.device) as world:
        return run_from(arguments, "fit", Recipe, world)
