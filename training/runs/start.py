"""A training run from its recipe, or from where it stopped."""

from pathlib import Path

from training.captioning.setup import set_up
from training.captioning.task import Trainer
from training.recipe import Recipe
from training.runs.distributed import World, restarts
from training.runs.folder import RunFolder

ALONE = World()


def start(recipe: Recipe, world: World = ALONE) -> Trainer:
    """Make a run's folder and all that the run needs.

    Raises:
        TrainingError: If the folder already holds a run.
    """
    RunFolder(recipe.run_dir).require_free()
    world.wait()  # or a slow process would find the folder of a fast one
    trainer = Trainer(recipe, set_up(recipe), world)
    trainer.begin(recipe)
    return trainer


def start_or_restart(recipe: Recipe, world: World = ALONE) -> Trainer:
    """Start a run, or go on with it if torchrun has started the processes again.

    Raises:
        TrainingError: If the folder already holds a run that these processes have not begun.
    """
    if restarts() and RunFolder(recipe.run_dir).state_file.exists():
        return resume(recipe.run_dir, world)
    return start(recipe, world)


def resume(folder: Path, world: World = ALONE) -> Trainer:
    """Restore a run from its folder.

    Raises:
        TrainingError: If the folder holds no run.
    """
    recipe = RunFolder(folder).read_recipe(Recipe)
    trainer = Trainer(recipe, set_up(recipe), world)
    trainer.resume()
    return trainer
