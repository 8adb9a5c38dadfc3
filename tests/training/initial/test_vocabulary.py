"""Going on from a checkpoint with new captions and new words."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from captioner.decoding import DecodingOptions
from captioner.errors import ConfigError
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from captioner.tokenizers import CharacterTokenizer, WordTokenizer, WordTokenizerRule1
from tests.support.pictures import noise_image
from training.data import CaptionedImage
from training.initial.vocabulary import grow
from training.phase import PhaseRecipe
from training.recipe import Recipe
from training.runs.start import start

pytestmark = pytest.mark.slow
NEW_WORDS = {"wombat", "eats", "noodles"}


@pytest.fixture
def old_file(small_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(small_checkpoint, tmp_path / "old.safetensors")
    return tmp_path / "old.safetensors"


def test_all_that_was_known_is_kept(small_checkpoint: Checkpoint, old_file: Path) -> None:
    learnt = WordTokenizer(["dog", *sorted(NEW_WORDS)])
    model, tokenizer = grow(old_file, small_checkpoint.model.config, learnt)
    old = small_checkpoint.tokenizer
    assert tokenizer.vocabulary == (*old.vocabulary, *sorted(NEW_WORDS))
    assert tokenizer.encode("a dog runs on the grass") == old.encode("a dog runs on the grass")
    grown, kept = model.state_dict(), small_checkpoint.model.state_dict()
    for name, value in kept.items():
        assert torch.equal(grown[name][: len(value)] if value.ndim else grown[name], value), name


def test_before_it_learns_it_says_what_it_said(small_checkpoint: Checkpoint, old_file: Path) -> None:
    model, tokenizer = grow(old_file, small_checkpoint.model.config, WordTokenizer(sorted(NEW_WORDS)))
    pictures = [noise_image(seed, 64, 64) for seed in range(6)]
    options = DecodingOptions(beam_size=1, max_length=5)
    said, says = (
        [captions[0].text for captions in CaptionPredictor(checkpoint).captions(pictures, options)]
        for checkpoint in (small_checkpoint, Checkpoint(model.eval(), tokenizer))
    )
    same = sum(one == other for one, other in zip(said, says, strict=True))
    assert same >= 5  # a new word's random row may win once


@pytest.mark.parametrize(
    ("old_words", "rule", "new_words"),
    [
        (["dog", "é", "कत"], 2, ["कुत्ता"]),  # all whole by the present rule, which words in new scripts need
        (["dog", "\u1100\u1161"], 1, []),  # syllables that the present rule composes: the old words keep their rule
    ],
)
def test_words_of_new_scripts_are_learnt_unless_old_words_forbid(
    old_words: list[str], rule: int, new_words: list[str], small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    tokenizer = WordTokenizerRule1(old_words)
    config = small_checkpoint.model.config
    old = Checkpoint(CaptionModel(config, len(tokenizer)).eval(), tokenizer)
    save_checkpoint(old, tmp_path / "old.safetensors")
    _, grown = grow(tmp_path / "old.safetensors", config, WordTokenizer.learn(["कुत्ता dog"]))
    assert isinstance(grown, WordTokenizer)
    assert grown.rule == rule
    assert grown.vocabulary == (*old_words, *new_words)


def test_another_model_is_refused(small_checkpoint: Checkpoint, old_file: Path) -> None:
    config = small_checkpoint.model.config
    other = replace(config, decoder=replace(config.decoder, hidden_size=99, dropout=0.9))
    with pytest.raises(ConfigError, match=r"model\.decoder\.hidden_size is 99, not 12") as error:
        grow(old_file, other, WordTokenizer(["dog"]))
    assert "dropout" not in str(error.value)
    with pytest.raises(ConfigError, match=r"tokenizer\.name is 'character', not 'word'"):
        grow(old_file, config, CharacterTokenizer(["a"]))


def with_wombats(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe with red pictures, and captions in new words, in place of the last four of its photos."""
    root = Path(recipe.data.root)
    shutil.copytree(root / "train", folder / "photos")
    file = json.loads((root / "train.json").read_text())
    new = {photo["id"]: photo["file_name"] for photo in file["images"][-4:]}
    for name in new.values():
        Image.new("RGB", (64, 64), "red").save(folder / "photos" / name)
    for entry in file["annotations"]:
        if entry["image_id"] in new:
            entry["caption"] = "a wombat eats noodles"
    (folder / "new.json").write_text(json.dumps(file))
    data = replace(recipe.data, train_annotations=str(folder / "new.json"), train_images=str(folder / "photos"))
    tokenizer = replace(recipe.tokenizer, min_count=1)
    return replace(recipe, name="grown", data=data, tokenizer=tokenizer, encoder_weights="")


def test_new_words_are_said_and_old_captions_not_forgotten(recipe: Recipe, tmp_path: Path) -> None:
    """Four of 14 photos teach three new words; the captions of the others lose nothing of their log-probability."""
    decoder = replace(recipe.model.decoder, dropout=0.0, hidden_size=32, embedding_size=16)
    phase = PhaseRecipe(epochs=12, learning_rate=0.01, label_smoothing=0.0)
    training = replace(
        recipe.training, average=0.0, patience=50, images_per_batch=2, phases=(phase,), precision="float32"
    )
    recipe = replace(recipe, training=training, model=replace(recipe.model, decoder=decoder))
    first, first_file = start(recipe), tmp_path / "first.safetensors"
    first.run()
    save_checkpoint(Checkpoint(first.task.model.eval(), first.task.bench.tokenizer), first_file)
    grown_file = tmp_path / "grown.safetensors"
    longer = replace(training, phases=(replace(phase, epochs=60),))
    grown = start(replace(with_wombats(recipe, tmp_path), start_from=str(first_file), training=longer))
    grown.run()
    save_checkpoint(Checkpoint(grown.task.model.eval(), grown.task.bench.tokenizer), grown_file)
    checkpoint = load_checkpoint(grown_file)
    assert set(checkpoint.tokenizer.vocabulary) >= {*first.task.bench.tokenizer.vocabulary, *NEW_WORDS}
    new = CaptionPredictor(checkpoint).caption(grown.task.bench.images[-1].path.read_bytes()).text
    assert set(new.split()) >= NEW_WORDS
    old = first.task.bench.images[:10]
    assert mean_loss(grown_file, old) <= mean_loss(first_file, old)


def mean_loss(file: Path, images: Sequence[CaptionedImage]) -> float:
    """Return the mean negative log-probability of the first caption of photos."""
    predictor = CaptionPredictor.from_checkpoint(file)
    scored = [predictor.score(image.path.read_bytes(), image.captions[0]) for image in images]
    return -sum(caption.log_prob for caption in scored) / len(scored)
