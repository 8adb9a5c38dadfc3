"""A language model's run from its recipe, or from where it stopped."""

from pathlib import Path

from training.language.recipe import LanguageRecipe
from training.language.task import LanguageTrainer, set_up_text
from training.runs.distributed import World
from training.runs.folder import RunFolder

ALONE = World()


def start_text(recipe: LanguageRecipe, world: World = ALONE) -> LanguageTrainer:
    """Make a run's folder and all that the run needs.

    Raises:
        TrainingError: If the folder already holds a run.
    """
    RunFolder(recipe.run_dir).require_free()
    trainer = LanguageTrainer(recipe, set_up_text(recipe), world)
    trainer.begin(recipe)
    return trainer


def resume_text(folder: Path, world: World = ALONE) -> LanguageTrainer:
    """Restore a run from its folder.

    Raises:
        TrainingError: If the folder holds no run.
    """
    recipe = RunFolder(folder).read_recipe(LanguageRecipe)
    trainer = LanguageTrainer(recipe, set_up_text(recipe), world)
    trainer.resume()
    return trainer
