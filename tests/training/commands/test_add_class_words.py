"""The command add-class-words: which words it adds, what keeps them, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from captioner.__main__ import main as captioner
from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from captioner.class_words import ClassWord
from captioner.config import EncoderConfig
from captioner.header import CheckpointFile
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from captioner.runtimes.export import export_checkpoint
from captioner.tokenizers import CharacterTokenizer, WordTokenizer
from tests.support.class_words import draw_class_words
from tests.support.growing import make_growable
from tests.support.shards import write_tar
from training.__main__ import main
from training.growing.finish import finish
from training.initial.average import average
from training.initial.class_words import class_names, find_words, forms
from training.initial.ensemble import join

NAMES = ("sheep dog", "wombat", "ball (round)", "toy dog", "runs", "pastry child", "")
CAPTIONS = ["a dog runs", "two dogs", "the child", "children", "a dog 's ball"]


@pytest.fixture
def model() -> Checkpoint:
    return make_growable()


def classifier(model: Checkpoint, path: Path, classes: int = len(NAMES), size: int = 32) -> Path:
    """Write weights of the model's encoder with a classifier."""
    numbers = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {
        name: value.contiguous() for name, value in model.model.encoder.pretrained_state().items()
    }
    weights["classifier.weight"] = torch.randn(classes, size, generator=numbers)
    weights["classifier.bias"] = torch.randn(classes, generator=numbers)
    save_file(weights, path)
    return path


@pytest.fixture
def files(model: Checkpoint, tmp_path: Path) -> Path:
    """A folder with all that the command takes."""
    save_checkpoint(model, tmp_path / "model.safetensors")
    classifier(model, tmp_path / "classifier.safetensors")
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n")
    images = [{"id": index, "file_name": f"{index}.jpg"} for index in range(len(CAPTIONS))]
    told = [{"id": index, "image_id": index, "caption": text} for index, text in enumerate(CAPTIONS)]
    (tmp_path / "captions.json").write_text(json.dumps({"images": images, "annotations": told}))
    return tmp_path


def line(files: Path, *more: str) -> list[str]:
    named = {"checkpoint": "model.safetensors", "classifier": "classifier.safetensors", "names": "names.txt"}
    named |= {"annotations": "captions.json", "out": "out.safetensors"}
    return ["add-class-words", *(part for k, v in named.items() for part in (f"--{k}", str(files / v))), *more]


def test_rare_words_of_classes_are_added(
    files: Path, model: Checkpoint, pictures: list[Image.Image], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line(files, "--rarer-than", "3", "--threshold", "0.3", "--bonus", "4")) == 0
    told = capsys.readouterr().out
    assert "2 words of 2 classes" in told
    assert "ball, runs" in told
    found = load_checkpoint(files / "out.safetensors").class_words
    assert found is not None
    assert found.vocabulary.words == (ClassWord("ball", (13,), (2,)), ClassWord("runs", (6,), (4,)))
    assert (found.vocabulary.threshold, found.vocabulary.bonus) == (0.3, 4.0)
    assert found.vocabulary.provenance["rarer_than"] == 3
    matrix = torch.randn(len(NAMES), 32, generator=torch.Generator().manual_seed(0)).numpy()
    assert abs(found.integers * found.scales[:, None] - matrix).max() < 0.02
    before, after = (CaptionPredictor(load_checkpoint(files / f"{name}.safetensors")) for name in ("model", "out"))
    words = found.find(after.runtime.vectors(after.encode(pictures)))
    for word, one, other in zip(words, before.captions(pictures), after.captions(pictures), strict=True):
        assert word is not None or one[0].text == other[0].text


def test_captions_may_be_in_shards(files: Path) -> None:
    assert main(line(files, "--rarer-than", "3")) == 0
    write_tar(files / "one.tar", {f"{i}.{end}": text for i, text in enumerate(CAPTIONS) for end in ("jpg", "txt")})
    named = {"checkpoint": "model", "classifier": "classifier", "out": "sharded"}
    parts = [part for key, name in named.items() for part in (f"--{key}", str(files / f"{name}.safetensors"))]
    parts += ["--names", str(files / "names.txt"), "--rarer-than", "3", "--shards", str(files / "o*.tar")]
    assert main(["add-class-words", *parts]) == 0
    one, other = (load_checkpoint(files / f"{name}.safetensors").class_words for name in ("out", "sharded"))
    assert one is not None
    assert one.same_as(other)


def test_forms_count_together() -> None:
    tokenizer = WordTokenizer(["dogs", "ponies", "leaf", "boxes", "a"])
    names = ["red dog", "pony (small)", "leaf", "box", "the a", "cat", "dog, red", "!"]
    found = find_words(names, tokenizer, ["dog dogs", "dogs", "pony", "leaf", "leaves", "a"], 3)
    assert [(word.text, word.tokens, word.classes) for word in found] == [
        ("a", (8,), (4,)),
        ("box", (7,), (3,)),
        ("leaf", (6,), (2,)),
        ("pony", (5,), (1,)),
    ]  # "dog" is said three times; "cat" is not known; "dog, red" is red
    assert forms("leaf") == {"leaf", "leafs", "leafes", "leaves"}


def test_imagenet_has_a_thousand_classes() -> None:
    names = class_names(None)
    assert len(names) == 1000
    assert names[386] == "African elephant"


def test_what_does_not_fit_is_refused(files: Path, model: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*more: str) -> str:
        assert main(line(files, *more)) == 1
        assert not (files / "out.safetensors").exists()
        return capsys.readouterr().err

    other = classifier(model, files / "other.safetensors", size=31)
    assert "--classifier" in (told := refused("--classifier", str(other)))
    assert "has 0 classifiers of vectors of 32" in told
    (files / "few.txt").write_text("dog\nball\n")
    told = refused("--names", str(files / "few.txt"))
    assert "few.txt names 2 classes, and --classifier" in told
    assert "tells 7 apart" in told
    assert "none of the 7 classes has a word that the model knows" in refused("--rarer-than", "1")
    assert "class words' threshold is 2.0; it must be between 0 and 1" in refused("--threshold", "2")
    assert "which captions? name --annotations" in refused("--shards", "x.tar")
    assert "no such file" in refused("--annotations", str(files / "nothing.json")).lower()
    characters = CharacterTokenizer(list("abcd "))
    spelling = Checkpoint(CaptionModel(model.model.config, len(characters)).eval(), characters)
    save_checkpoint(spelling, files / "model.safetensors")
    assert "the model's tokens are characters; only words can name a class" in refused()
    decoder = replace(model.model.config.decoder, members=2, reads=(0, 1))
    config = replace(
        model.model.config, encoder=EncoderConfig("tiny", branches=2, branch_stage="stride8"), decoder=decoder
    )
    branched = Checkpoint(CaptionModel(config, len(model.tokenizer)).eval(), model.tokenizer)
    save_checkpoint(branched, files / "model.safetensors")
    assert "the model's encoder has 2 branches; class words are for a model with one encoder" in refused()


def test_what_is_made_of_a_model_keeps_them(model: Checkpoint, tmp_path: Path) -> None:
    words, other = draw_class_words(32), draw_class_words(32, 0.5)
    first, second = (replace(model, class_words=words) for _ in range(2))
    mean = average({"a": first, "b": second})
    assert mean.class_words is not None
    assert words.same_as(mean.class_words)
    for differing in (replace(model, class_words=other), model):
        assert average({"a": first, "b": differing}).class_words is None
    assert join({"a": first, "b": second}, "both", "1").class_words is None
    save_checkpoint(first, tmp_path / "model.safetensors")
    assert main(["quantize", str(tmp_path / "model.safetensors"), "--out", str(tmp_path / "small.safetensors")]) == 0
    assert words.same_as(load_checkpoint(tmp_path / "small.safetensors").class_words)


@pytest.mark.parametrize("bits", [None, 8])
def test_a_grown_model_keeps_them(model: Checkpoint, bits: int | None, tmp_path: Path) -> None:
    old, learnt, grown = (tmp_path / f"{name}.safetensors" for name in ("old", "learnt", "grown"))
    words = draw_class_words(32)
    save_checkpoint(replace(model, class_words=words), old)
    if bits:
        export_checkpoint(old, old, bits)
    tokenizer = WordTokenizer([*model.tokenizer.vocabulary, "wombat"])
    save_checkpoint(Checkpoint(CaptionModel(model.model.config, len(tokenizer)).eval(), tokenizer), learnt)
    finish(CheckpointFile.read(old), learnt, grown)
    found = load_checkpoint(grown)
    assert words.same_as(found.class_words)
    assert found.tokenizer.vocabulary[:-1] == model.tokenizer.vocabulary


def test_inspect_tells_of_them(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line(files)) == 0
    capsys.readouterr()
    told = []
    for name in ("out", "model"):
        assert captioner(["inspect", str(files / f"{name}.safetensors")]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["class_words"]["words"][0]["text"] == "ball"
    assert "class_words" not in told[1]
    assert told[0]["parameters"] == told[1]["parameters"]
