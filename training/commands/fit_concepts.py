"""``captioner train fit-concepts``: teach an encoder which words people use of a photo."""

from argparse import ArgumentParser, Namespace

from training.commands.runs import add_source, run_from
from training.concepts.recipe import ConceptRecipe
from training.recipe_keys import listing
from training.runs.distributed import lone_world

EPILOG = listing(ConceptRecipe)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)


def run(arguments: Namespace) -> int:
    """Start or resume a run; return the exit status."""
    return run_from(arguments, "fit-concepts", ConceptRecipe, lone_world("fit-concepts", arguments.device))
