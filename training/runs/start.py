"""A training run from its recipe, or from where it stopped, whatever it is that is learnt."""

from pathlib import Path
from typing import Any

from training.answers.recipe import AnswerRecipe
from training.answers.setup import set_up_answers
from training.answers.task import AnswerTask
from training.captioning.setup import set_up
from training.captioning.task import CaptionTask
from training.concepts.recipe import ConceptRecipe
from training.concepts.task import ConceptTask, set_up_concepts
from training.language.recipe import LanguageRecipe
from training.language.task import LanguageTask, set_up_text
from training.recipe import Recipe
from training.runs.distributed import World, restarts
from training.runs.folder import RunFolder
from training.runs.run import Run

ALONE = World()
AnyRecipe = Recipe | ConceptRecipe | LanguageRecipe | AnswerRecipe


def start(recipe: AnyRecipe, world: World = ALONE) -> Run[Any]:
    """Make a run's folder and all that the run needs.

    Raises:
        TrainingError: If the folder already holds a run.
    """
    RunFolder(recipe.run_dir).require_free()
    world.wait()  # or a slow process would find the folder of a fast one
    run = _run(recipe, world)
    run.begin()
    return run


def start_or_restart(recipe: AnyRecipe, world: World = ALONE) -> Run[Any]:
    """Start a run, or go on with it if torchrun has started the processes again.

    Raises:
        TrainingError: If the folder already holds a run that these processes have not begun.
    """
    if any(world.gather(restarts())) and RunFolder(recipe.run_dir).state_file.exists():
        return resume(recipe.run_dir, type(recipe), world)
    return start(recipe, world)


def resume(folder: Path, kind: type[AnyRecipe] = Recipe, world: World = ALONE) -> Run[Any]:
    """Restore a run from its folder.

    Args:
        folder: Of the run.
        kind: The dataclass of its recipe.
        world: The processes that train together.

    Raises:
        TrainingError: If the folder holds no run.
        ConfigError: If it holds one of another kind.
    """
    run = _run(RunFolder(folder).read_recipe(kind), world)
    run.resume()
    return run


def _run(recipe: AnyRecipe, world: World) -> Run[Any]:
    """Return the run of a recipe, as it is before its first step."""
    if isinstance(recipe, ConceptRecipe):
        return Run(ConceptTask(recipe, set_up_concepts(recipe), world))
    if isinstance(recipe, LanguageRecipe):
        return Run(LanguageTask(recipe, set_up_text(recipe), world))
    if isinstance(recipe, AnswerRecipe):
        return Run(AnswerTask(recipe, set_up_answers(recipe), world))
    return Run(CaptionTask(recipe, set_up(recipe), world), board=True)
