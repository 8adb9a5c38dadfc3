"""Compiled models learn what others do."""

from dataclasses import replace

import pytest

from captioner.checkpoint import load_checkpoint
from captioner.errors import ConfigError
from training.phase import PhaseRecipe
from training.recipe import Recipe
from training.runs.start import start

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's compiler looks at it, we do not
def test_a_compiled_run_equals_a_plain_one(recipe: Recipe) -> None:
    """By the backend that compiles nothing away, so that what is compared is our way of compiling."""
    decoder = replace(recipe.model.decoder, dropout=0.0)
    phases = (PhaseRecipe(epochs=1), PhaseRecipe(epochs=1, cross_entropy=0.5, encoder_stage="stride32"))
    plain = replace(recipe.training, phases=phases, precision="float32")
    runs = {}
    for name, backend in (("plain", ""), ("compiled", "eager")):
        training = replace(plain, compile=backend)
        trainer = start(replace(recipe, name=name, training=training, model=replace(recipe.model, decoder=decoder)))
        assert trainer.run()
        runs[name] = trainer
    for ours, theirs in zip(runs["compiled"].progress.history, runs["plain"].progress.history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    load_checkpoint(runs["compiled"].best_file)


def test_an_unknown_backend_is_refused(recipe: Recipe) -> None:
    with pytest.raises(ConfigError, match=r"training.compile is 'gcc'; it must be empty or one of: .*inductor"):
        replace(recipe.training, compile="gcc")
