"""An encoder that learns which words people use of a photo."""

import json
import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from captioner.config import EncoderConfig, from_dict
from captioner.encoders import ENCODERS
from captioner.errors import ConfigError
from captioner.tokenizers.word import split_words
from tests.support.stopping import stop_after
from training.__main__ import main
from training.concepts.network import SHARPNESS, ConceptNetwork
from training.concepts.recipe import ConceptRecipe, WordsRecipe
from training.concepts.task import ConceptTask, set_up_concepts
from training.concepts.words import choose_words, count_words, mean_average_precision
from training.data import CaptionedImage
from training.errors import DataError
from training.initial.pretrained import pretrained_weights
from training.recipe import Recipe
from training.runs.distributed import World
from training.runs.start import resume, start
from training.runs.state import Progress

pytestmark = pytest.mark.slow


def photo(number: int, *captions: str) -> CaptionedImage:
    return CaptionedImage(number, Path(f"{number}.jpg"), captions)


PHOTOS = [
    photo(1, "A dog runs .", "The dog and a DOG play", "a ball"),
    photo(2, "a dog sits", "an animal sits"),
    photo(3, "a man throws a ball"),
]


def test_concepts_are_the_words_of_the_most_photos() -> None:
    assert choose_words(PHOTOS, split_words, WordsRecipe(least_photos=2)) == ["a", "ball", "dog"]
    assert choose_words(PHOTOS, split_words, WordsRecipe(least_photos=2, without=("a",))) == ["ball", "dog"]
    assert choose_words(PHOTOS, split_words, WordsRecipe(least_photos=1, most=1, without=("a",))) == ["ball"]
    with pytest.raises(DataError, match="no word is in the captions of 4 photos"):
        choose_words(PHOTOS, split_words, WordsRecipe(least_photos=4))


def test_captions_are_counted_not_words() -> None:
    counts = count_words(PHOTOS, split_words, ["dog", "ball", "cat"])
    assert counts.tolist() == [[2, 1, 0], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("field", ["most", "least_photos", "agreement"])
def test_words_out_of_range_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"words.{field} is 0; it must be between 1 and"):
        from_dict(WordsRecipe, {field: 0})


def naive_average_precision(scores: list[float], present: list[bool]) -> float:
    """The mean of the precision at each present photo, by counting those that score at least as high."""
    precisions = []
    for score, here in zip(scores, present, strict=True):
        if here:
            above = [other for value, other in zip(scores, present, strict=True) if value >= score]
            precisions.append(sum(above) / len(above))
    return sum(precisions) / len(precisions)


def test_mean_average_precision_is_that_of_counting() -> None:
    generator = torch.Generator().manual_seed(1)
    scores, present = torch.rand(40, 6, generator=generator), torch.rand(40, 6, generator=generator) < 0.3
    present[:, 5] = False
    present[3, 5] = True  # too few photos to count
    expected = [naive_average_precision(scores[:, k].tolist(), present[:, k].tolist()) for k in range(5)]
    assert mean_average_precision(scores, present) == pytest.approx(sum(expected) / 5)
    assert mean_average_precision(present.float(), present) == 1
    assert mean_average_precision(scores, torch.zeros_like(present)) == 0


def small_network(concepts: int = 3) -> ConceptNetwork:
    torch.manual_seed(0)
    return ConceptNetwork(ENCODERS["tiny"](EncoderConfig(name="tiny")), concepts, dropout=0.5)


def test_cells_are_pooled_by_a_soft_maximum() -> None:
    network = small_network().eval()
    pixels = torch.randn(2, 3, 2 * network.encoder.stride, 3 * network.encoder.stride)
    with torch.no_grad():
        grid = network.encoder(pixels).require_grid()
        scores = network.classifier(grid).double().numpy()  # [B, L, K]
        pooled = network(pixels).numpy()
    expected = np.log(np.exp(SHARPNESS * scores).mean(axis=1)) / SHARPNESS
    np.testing.assert_allclose(pooled, expected, rtol=1e-5)
    assert (scores.mean(axis=1) <= pooled + 1e-6).all()
    assert (pooled <= scores.max(axis=1) + 1e-6).all()


def test_a_fresh_classifier_guesses_rare_concepts() -> None:
    pixels = torch.zeros(1, 3, 64, 64)
    chances = torch.sigmoid(small_network().eval()(pixels))
    assert chances.max() < 0.1


@pytest.fixture
def concepts(dataset: Path, recipe: Recipe, tmp_path: Path) -> ConceptRecipe:
    """A recipe that teaches the words of the blocks in seconds."""
    return from_dict(
        ConceptRecipe,
        {
            "name": "concepts",
            "runs": str(tmp_path / "runs"),
            "cache": str(tmp_path / "cache"),
            "encoder_weights": str(dataset / "mobilenet_v2.safetensors"),
            "data": {
                name: getattr(recipe.data, name)
                for name in ("root", "train_annotations", "train_images", "val_annotations", "val_images")
            },
            "image": {"size": 64},
            "words": {"least_photos": 2, "without": ["the"]},
            "training": {
                "epochs": 3,
                "images_per_batch": 5,
                "encoder_stage": "stride32",
                "learning_rate": 1e-2,
                "average": 0.5,
                "precision": "float32",
            },
        },
    )


def tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_it_learns_and_leaves_weights_that_a_captioning_run_starts_from(
    concepts: ConceptRecipe, recipe: Recipe
) -> None:
    trainer = start(concepts)
    before = trainer.task.network.encoder.pretrained_state()["features.0.0.weight"].clone()
    assert trainer.run()
    losses = [entry["loss"] for entry in trainer.progress.history]
    assert losses[-1] < losses[0]
    header, found = tensors(trainer.best_file)
    assert json.loads(header["kind"]) == "concepts"
    words = json.loads(header["words"])
    assert {"dog", "snow", "runs"} < set(words)
    assert "the" not in words
    assert found["classifier.concepts.weight"].shape == (len(words), 1280)
    original = pretrained_weights("mobilenet_v2", concepts.encoder_weights)
    learnt = {name for name in original if name in found and not torch.equal(original[name], found[name])}
    assert learnt
    assert all(
        name.startswith(("features.14", "features.15", "features.16", "features.17", "features.18")) for name in learnt
    )
    assert torch.equal(before, original["features.0.0.weight"])

    captioning = start(replace(recipe, encoder_weights=str(trainer.best_file)))
    told = captioning.task.bench.provenance
    assert told["encoder"]["name"] == "concepts"
    assert told["encoder"]["recipe"]["words"]["least_photos"] == 2
    state = captioning.task.model.encoder.pretrained_state()
    assert all(torch.equal(state[name], found[name]) for name in state)


def test_stopped_and_resumed_equals_never_stopped(concepts: ConceptRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = start(replace(concepts, name="whole"))
    assert whole.run()
    for steps in (2, 2, 3):
        trainer = start(concepts) if not concepts.run_dir.exists() else resume(concepts.run_dir, ConceptRecipe)
        stop_after(trainer, steps, monkeypatch)
        assert not trainer.run()
    trainer = resume(concepts.run_dir, ConceptRecipe)
    assert trainer.run()
    assert trainer.progress.history == whole.progress.history
    ours, theirs = tensors(trainer.best_file)[1], tensors(whole.best_file)[1]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_it_computes_on_the_device_of_its_world(concepts: ConceptRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """On "meta", which every machine has: tensors without values, that cannot meet those of another device."""
    world = World(device=torch.device("meta"))
    task = ConceptTask(concepts, set_up_concepts(concepts), world)
    monkeypatch.setattr("training.concepts.task.autocast", lambda *_: nullcontext())
    [loss] = task.loss(task.batch(Progress()), Progress())
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.device == world.device
    assert {p.grad.device for p in task.network.parameters() if p.grad is not None} == {world.device}


def test_what_cannot_have_concepts_is_refused(concepts: ConceptRecipe) -> None:
    with pytest.raises(ConfigError, match="concepts are looked for in the cells of a grid"):
        replace(concepts, encoder=EncoderConfig(outputs="vector"))


RECIPE = """
name = "words"
encoder_weights = "{data}/mobilenet_v2.safetensors"
[data]
root = "{data}"
train_annotations = "train.json"
train_images = "train"
val_annotations = "val.json"
val_images = "val"
[image]
size = 32
[words]
least_photos = 3
[training]
epochs = 1
encoder_stage = "stride32"
"""


def test_the_command(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words.toml").write_text(RECIPE.format(data=dataset))
    fit = ["fit-concepts", "--recipe", str(tmp_path / "words.toml")]
    fit += ["--set", f"runs={tmp_path}", "--set", f"cache={tmp_path}/cache"]
    assert main(fit) == 0
    assert "finished; the best epoch is 1" in capsys.readouterr().out
    assert main(fit) == 1
    assert "already holds a run" in capsys.readouterr().err
    assert main(["fit-concepts", "--resume", str(tmp_path / "words"), "--set", "seed=2"]) == 1
    history = json.loads((tmp_path / "words" / "history.json").read_text())
    assert 0 <= history[0]["mean_average_precision"] <= 1
    assert math.isfinite(history[0]["loss"])
