"""A training run from its recipe, or from where it stopped."""

from pathlib import Path

from training.loop import Trainer
from training.recipe import Recipe
from training.run_folder import RunFolder
from training.setup import set_up


def start(recipe: Recipe) -> Trainer:
    """Make a run's folder and all that the run needs.

    Raises:
        TrainingError: If the folder already holds a run.
    """
    RunFolder(recipe.run_dir).require_free()
    trainer = Trainer(recipe, set_up(recipe))
    trainer.begin(recipe)
    return trainer


def resume(folder: Path) -> Trainer:
    """Restore a run from its folder.

    Raises:
        TrainingError: If the folder holds no run.
    """
    recipe = RunFolder(folder).read_recipe(Recipe)
    trainer = Trainer(recipe, set_up(recipe))
    trainer.resume()
    return trainer
