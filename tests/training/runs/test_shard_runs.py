"""Runs that learn from WebDataset shards: the same as from a folder, stopped or not, and so are scores."""

import json
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from captioner.errors import OptionError
from tests.support.shards import write_shards, write_tar
from tests.support.stopping import stop_after
from training.__main__ import main
from training.commands.photos import add_photos, photo_source, photo_words
from training.data import CaptionSource, ShardSource, load_captioned_images
from training.phase import PhaseRecipe
from training.recipe import PARTS, DataRecipe, Recipe
from training.runs.start import resume, start

pytestmark = pytest.mark.slow


@pytest.fixture
def sharded(recipe: Recipe, tmp_path: Path) -> Recipe:
    """The recipe, its photos and captions in shards, and with caches of its own."""
    for part in PARTS:
        write_shards(recipe.data.source(part).load(), tmp_path / "shards", part)
    data = DataRecipe(str(tmp_path / "shards"), train_shards="train-*.tar", val_shards=("val-*.tar",), mirror=True)
    return replace(recipe, name="sharded", data=data, cache=str(tmp_path / "cache"))


def test_a_run_from_shards_stopped_and_resumed_ends_where_one_from_a_folder_does(
    recipe: Recipe, sharded: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On kept features, and then with the encoder learning from the photos."""
    phases = (PhaseRecipe(epochs=1, learning_rate=0.01), PhaseRecipe(epochs=1, encoder_stage="stride16"))
    folder, shards = (replace(one, training=replace(one.training, phases=phases)) for one in (recipe, sharded))
    straight = start(folder)
    assert straight.run()
    stopped = start(shards)
    stop_after(stopped, 6, monkeypatch)
    assert not stopped.run()
    resumed = resume(shards.run_dir)
    assert resumed.run()
    assert resumed.progress == straight.progress
    for name, module in straight.task.modules.items():
        other = resumed.task.modules[name].state_dict()
        assert all(torch.equal(other[key], value) for key, value in module.state_dict().items())
    assert resumed.task.bench.provenance["data"]["train_captions"] == 42
    ours, theirs = (one.task.bench.provenance["data"]["train_annotations_sha256"] for one in (resumed, straight))
    assert len(ours) == len(theirs) == 64


def test_scores_on_shards_are_those_on_a_folder(dataset: Path, small_checkpoint_file: Path, tmp_path: Path) -> None:
    write_shards(load_captioned_images(dataset / "val.json", dataset / "val"), tmp_path, "val", 2)
    folder = CaptionSource(dataset / "val.json", dataset / "val")
    shards = ShardSource((f"{tmp_path}/val-*.tar",), Path())
    found = []
    sources: list[CaptionSource | ShardSource] = [folder, shards]
    for number, source in enumerate(sources):
        out = tmp_path / f"{number}.json"
        words = ["--checkpoint", str(small_checkpoint_file), "--beam-size", "2", "--replicates", "100"]
        words += ["--json", str(out)]
        assert main(["evaluate", *photo_words(source), *words]) == 0
        found.append(json.loads(out.read_text()))
    assert [one["caption"] for one in found[0]["captions"]] == [one["caption"] for one in found[1]["captions"]]
    assert found[0]["scores"] == found[1]["scores"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which photos\\? name --annotations and --images, or --shards"),
        (["--annotations", "x"], "which photos"),
        (["--shards", "x.tar", "--images", "x"], "leave out --annotations, --images and --split"),
    ],
)
def test_photos_are_in_one_place(words: list[str], message: str) -> None:
    parser = ArgumentParser()
    add_photos(parser)
    with pytest.raises(OptionError, match=message):
        photo_source(parser.parse_args(words))


def test_check_looks_into_shards(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = load_captioned_images(dataset / "train.json", dataset / "train")
    write_shards(train, tmp_path, "train")
    write_tar(tmp_path / "val.tar", {"a.png": train[0].path.read_bytes(), "a.txt": "x", "b.jpg": b"no", "b.txt": "y"})
    recipe = tmp_path / "x.toml"
    data = f'[data]\nroot = "{tmp_path}"\ntrain_shards = "train-*.tar"\nval_shards = "val.tar"\n'
    recipe.write_text(f'name = "x"\n{data}')
    assert main(["check", "--recipe", str(recipe)]) == 1
    told = capsys.readouterr().out
    assert "train-0000.tar/001000.png = val.tar/a.png" in told
    assert "photos that cannot be read" in told
    assert " val.tar/b.jpg: " in told
