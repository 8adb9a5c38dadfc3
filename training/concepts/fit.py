"""A run of concepts from its recipe, or from where it stopped."""

from pathlib import Path

from training.concepts.recipe import ConceptRecipe
from training.concepts.task import ConceptTrainer, set_up_concepts
from training.runs.distributed import World
from training.runs.folder import RunFolder

ALONE = World()


def start_concepts(recipe: ConceptRecipe, world: World = ALONE) -> ConceptTrainer:
    """Make a run's folder and all that the run needs.

    Raises:
        TrainingError: If the folder already holds a run.
    """
    RunFolder(recipe.run_dir).require_free()
    trainer = ConceptTrainer(recipe, set_up_concepts(recipe), world)
    trainer.begin(recipe)
    return trainer


def resume_concepts(folder: Path, world: World = ALONE) -> ConceptTrainer:
    """Restore a run from its folder.

    Raises:
        TrainingError: If the folder holds no run.
    """
    recipe = RunFolder(folder).read_recipe(ConceptRecipe)
    trainer = ConceptTrainer(recipe, set_up_concepts(recipe), world)
    trainer.resume()
    return trainer
