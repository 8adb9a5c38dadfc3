"""Class words: found as torch would find them, kept in every file, and said."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch.nn import functional as F

from captioner.answers.header import identify_encoder
from captioner.calibration import Calibration
from captioner.checkpoint import (
    Checkpoint,
    copy_with_calibration,
    copy_with_class_words,
    load_checkpoint,
    save_checkpoint,
    write_safetensors,
)
from captioner.class_words import BIAS, MATRIX, SCALES, ClassVocabulary, ClassWord, ClassWords
from captioner.decoding import DecodingOptions
from captioner.errors import CaptionerError, ConfigError
from captioner.header import CheckpointFile, read_header
from captioner.predictor import CaptionPredictor
from captioner.runtimes.export import export_checkpoint
from tests.captioner.test_checkpoint import rewrite
from tests.support.class_words import draw_class_words
from tests.support.growing import make_growable

SIZE = 32  # of tiny's vectors
VECTORS = np.random.default_rng(0).standard_normal((6, SIZE), dtype=np.float32)


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    checkpoint = make_growable()
    for parameter in checkpoint.model.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        checkpoint.model.decoder.get_parameter("output.bias")[checkpoint.tokenizer.eos_id] += 2  # captions end in time
    return checkpoint


@pytest.fixture(scope="module")
def plain(model: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "plain.safetensors"
    save_checkpoint(model, path)
    return path


def test_probabilities_are_sums_of_a_softmax_over_all_classes() -> None:
    found = draw_class_words(SIZE)
    matrix = torch.from_numpy(found.integers).float() * torch.from_numpy(found.scales)[:, None]
    logits = F.linear(torch.from_numpy(VECTORS), matrix, torch.from_numpy(found.bias))
    chances = F.softmax(logits, dim=1)
    expected = torch.stack([chances[:, [0, 3]].sum(1), chances[:, 6], chances[:, [2, 4]].sum(1)], dim=1)
    np.testing.assert_allclose(found.probabilities(VECTORS), expected, rtol=1e-5)
    shifted = replace(found, bias=found.bias + 1e4)
    np.testing.assert_allclose(shifted.probabilities(VECTORS), expected, rtol=2e-2)  # nothing overflows


def test_the_likeliest_word_is_found_if_it_is_likely_enough() -> None:
    everything = draw_class_words(SIZE)
    chances = everything.probabilities(VECTORS)
    threshold = float(np.median(chances.max(axis=1)))
    found = draw_class_words(SIZE, threshold, 6.0)
    words = [everything.vocabulary.words[index].text for index in chances.argmax(axis=1)]
    expected = [word if most > threshold else None for word, most in zip(words, chances.max(axis=1), strict=True)]
    assert [one and one.text for one in found.find(VECTORS)] == expected
    assert 0 < expected.count(None) < len(expected)
    wanted = found.wanted(VECTORS)
    assert wanted is not None
    assert wanted.bonus == 6.0
    tokens = {None: set(), "dog": {5}, "child": {11}, "ball": {13, 9}}
    assert [set(row[row >= 0].tolist()) for row in wanted.tokens] == [tokens[word] for word in expected]
    assert draw_class_words(SIZE, 1.0).wanted(VECTORS) is None


def test_a_classifier_is_rounded_row_by_row() -> None:
    matrix = np.random.default_rng(2).standard_normal((7, 5), dtype=np.float32) * np.logspace(-2, 2, 7)[:, None]
    matrix[3] = 0
    found = ClassWords.of(draw_class_words(5).vocabulary, matrix.astype(np.float32), np.arange(7, dtype=np.float32))
    half = np.abs(matrix).max(axis=1, keepdims=True) / 127 / 2
    assert (np.abs(found.integers * found.scales[:, None] - matrix) <= 1.001 * half).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int8])
def test_a_file_keeps_them(model: Checkpoint, calibration: Calibration, dtype: torch.dtype, tmp_path: Path) -> None:
    words, path = draw_class_words(SIZE), tmp_path / "model.safetensors"
    save_checkpoint(replace(model, class_words=words), path, dtype)
    copy_with_calibration(path, path, calibration)
    found = load_checkpoint(path)
    assert words.same_as(found.class_words)
    assert found.calibration == calibration
    assert read_header(path)["class_words"]["words"][0] == {"text": "dog", "tokens": [5], "classes": [0, 3]}


def test_they_are_added_to_a_file_and_replaced(plain: Path, calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "served.safetensors"
    export_checkpoint(plain, path, bits=8)
    copy_with_calibration(path, path, calibration)
    before, encoder = load_file(path), identify_encoder(CheckpointFile.read(path))
    for words in (draw_class_words(SIZE), draw_class_words(SIZE, 0.5, 3.0)):
        copy_with_class_words(path, path, words)
        after = load_file(path)
        assert after.keys() - before.keys() == {MATRIX, SCALES, BIAS}
        assert all(np.array_equal(after[name], value) for name, value in before.items())
        found = load_checkpoint(path)
        assert words.same_as(found.class_words)
        assert found.calibration == calibration
    assert "onnx" in read_header(path)
    assert identify_encoder(CheckpointFile.read(path)) == encoder


def test_a_file_of_version_3_gets_them(plain: Path, tmp_path: Path) -> None:
    old, new = rewrite(plain, tmp_path / "old.safetensors", format_version=3), tmp_path / "new.safetensors"
    copy_with_class_words(old, new, draw_class_words(SIZE))
    assert read_header(new)["format_version"] == 4
    assert load_checkpoint(new).class_words is not None
    assert load_checkpoint(old).class_words is None


@pytest.mark.parametrize("bits", [8, 32])
def test_both_runtimes_say_them(plain: Path, bits: int, pictures: list[Image.Image], tmp_path: Path) -> None:
    """A bonus of 100 puts the word of each photo into its caption; a threshold of 1 leaves captions as they were."""
    words = {0.0: tmp_path / "words.safetensors", 1.0: tmp_path / "none.safetensors"}
    for threshold, path in words.items():
        copy_with_class_words(plain, path, draw_class_words(SIZE, threshold))
        export_checkpoint(path, path, bits)  # keeps them
    without = tmp_path / "without.safetensors"
    export_checkpoint(plain, without, bits)
    said = []
    for runtime in ("torch", "onnx"):
        given, none, bare = (
            CaptionPredictor.from_checkpoint(path, runtime=runtime, threads=1)
            for path in (words[0.0], words[1.0], without)
        )
        assert given.class_words is not None
        found = given.class_words.find(given.runtime.vectors(given.encode(pictures)))
        captions = [caption for [caption] in given.captions(pictures)]
        for word, caption in zip(found, captions, strict=True):
            assert word is not None
            assert not set(word.tokens).isdisjoint(given.tokenizer.encode(caption.text))
            assert caption.log_prob < 0
        assert none.captions(pictures)[0][0].text == bare.captions(pictures)[0][0].text
        sampled = DecodingOptions(search="sample", seed=1)
        assert [c.text for [c] in given.captions(pictures, sampled)] == [
            c.text for [c] in bare.captions(pictures, sampled)
        ]
        said.append([word.text for word in found if word])
    assert said[0] == said[1]


VOCABULARY = draw_class_words(SIZE).vocabulary


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({MATRIX: None}, "class words lack the tensors class_words.weight"),
        ({BIAS: np.zeros(8, np.float32)}, r"classifier of class words is \[7, 32\], \[7\], \[8\]"),
        ({name: draw_class_words(SIZE).tensors()[name][:6] for name in (MATRIX, SCALES, BIAS)}, "there are 6 classes"),
        ({"words": replace(VOCABULARY, words=(ClassWord("far", (14,), (0,)),))}, "'far' is of .*are 7 classes and"),
    ],
)
def test_a_damaged_file_is_refused(model: Checkpoint, change: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    words, path = draw_class_words(SIZE), tmp_path / "model.safetensors"
    if "words" in change:
        words = replace(words, vocabulary=change["words"])
    save_checkpoint(replace(model, class_words=words), path)
    tensors = {**load_file(path), **{name: value for name, value in change.items() if name != "words"}}
    left = {name: torch.from_numpy(value) for name, value in tensors.items() if value is not None}
    write_safetensors(path, left, dict(CheckpointFile.read(path).metadata))
    with pytest.raises(CaptionerError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClassWord("dog", (), (1,)), r"class word 'dog': tokens are \[\]; at least one"),
        (lambda: ClassWord("dog", (5,), (-1,)), r"class word 'dog': classes are \[-1\]"),
        (lambda: ClassVocabulary(()), "class words must be at least one"),
        (lambda: replace(VOCABULARY, words=VOCABULARY.words * 2), "no class may have two"),
        (lambda: replace(VOCABULARY, threshold=1.5), "class words' threshold is 1.5; it must be between 0 and 1"),
        (lambda: replace(VOCABULARY, bonus=-1), "class words' bonus is -1; it must be between 0 and 100"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
