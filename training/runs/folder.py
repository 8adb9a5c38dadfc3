"""The folder of a training run, and what lies where in it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from captioner.config import from_dict, to_dict
from captioner.files import write_whole
from training.errors import TrainingError
from training.recipe_file import check_kind

T = TypeVar("T")


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    It holds ``recipe.json``, ``run_state.safetensors`` (to resume from), ``history.json`` (one entry per epoch),
    ``best.safetensors`` (the checkpoint of the best epoch) and, of captioning runs, ``board`` (for TensorBoard).

    Attributes:
        path: Where it is.
    """

    path: Path

    @property
    def state_file(self) -> Path:
        """What the run goes on from."""
        return self.path / "run_state.safetensors"

    @property
    def best_file(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.path / "best.safetensors"

    @property
    def board(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "board"

    @property
    def _recipe_file(self) -> Path:
        return self.path / "recipe.json"

    @property
    def holds_run(self) -> bool:
        """Whether there is a run in it."""
        return self._recipe_file.exists()

    def require_free(self) -> None:
        """Make sure that the folder holds no run yet.

        Raises:
            TrainingError: If it does.
        """
        if self.holds_run:
            raise TrainingError(
                f"{self.path} already holds a run; go on with --resume {self.path}, "
                "or give this one another name with --set name=NAME"
            )

    def write_recipe(self, recipe: Any) -> None:
        """Keep a recipe; from now on the folder holds a run."""
        write_whole(self._recipe_file, json.dumps(to_dict(recipe), indent=1) + "\n")

    def read_recipe(self, kind: type[T]) -> T:
        """Return the recipe of the run.

        Raises:
            TrainingError: If the folder holds no run.
            ConfigError: If it holds one of another kind.
        """
        try:
            values = json.loads(self._recipe_file.read_text())
        except (OSError, ValueError) as error:
            raise TrainingError(f"{self.path} holds no run that can be resumed: {error}") from None
        check_kind(kind, values, str(self._recipe_file))
        return from_dict(kind, values, str(self._recipe_file))

    def write_history(self, history: list[dict[str, float]]) -> None:
        """Write what each epoch brought."""
        write_whole(self.path / "history.json", json.dumps(history, indent=1) + "\n")
