"""A training run from its recipe, or from where it stopped."""

import json
from pathlib import Path

from captioner.config import from_dict, to_dict
from training.errors import TrainingError
from training.loop import Trainer
from training.recipe import Recipe
from training.setup import set_up


def start(recipe: Recipe) -> Trainer:
    """Make a run's folder and all that the run needs.

    Raises:
        TrainingError: If the folder already holds a run.
    """
    if (recipe.run_dir / "recipe.json").exists():
        raise TrainingError(
            f"{recipe.run_dir} already holds a run; go on with --resume {recipe.run_dir}, "
            "or give this one another name with --set name=NAME"
        )
    trainer = Trainer(recipe, set_up(recipe))
    recipe.run_dir.mkdir(parents=True, exist_ok=True)
    trainer.save()
    (recipe.run_dir / "recipe.json").write_text(json.dumps(to_dict(recipe), indent=1) + "\n")
    return trainer


def resume(folder: Path) -> Trainer:
    """Restore a run from its folder.

    Raises:
        TrainingError: If the folder holds no run.
    """
    try:
        values = json.loads((folder / "recipe.json").read_text())
    except (OSError, ValueError) as error:
        raise TrainingError(f"{folder} holds no run that can be resumed: {error}") from None
    recipe = from_dict(Recipe, values, str(folder / "recipe.json"))
    trainer = Trainer(recipe, set_up(recipe))
    trainer.resume()
    return trainer
