"""``captioner train fit-concepts``: teach an encoder which words people use of a photo."""

from argparse import ArgumentParser, Namespace
from functools import partial

from training.commands.runs import add_source, run_from
from training.concepts.fit import resume_concepts, start_concepts
from training.concepts.recipe import ConceptRecipe
from training.recipe_keys import listing
from training.runs.distributed import lone_world

EPILOG = listing(ConceptRecipe)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)


def run(arguments: Namespace) -> int:
    """Start or resume a run; return the exit status."""
    world = lone_world("fit-concepts")
    start, resume = partial(start_concepts, world=world), partial(resume_concepts, world=world)
    return run_from(arguments, "fit-concepts", ConceptRecipe, start, resume)
