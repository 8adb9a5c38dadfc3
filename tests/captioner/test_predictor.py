"""From pictures to captions."""

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from captioner.checkpoint import SHIPPED, Checkpoint, save_checkpoint
from captioner.decoding import DecodingOptions
from captioner.errors import ImageTooLargeError, InvalidImageError, OptionError
from captioner.images import ImageLimits, decode_photo
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from captioner.runtimes.torch import TorchRuntime
from tests.support.pictures import noise_image

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def predictor(small_checkpoint_file: Path) -> CaptionPredictor:
    return CaptionPredictor.from_checkpoint(small_checkpoint_file)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_batch_gives_what_each_picture_gives_alone(
    predictor: CaptionPredictor, pictures: list[Image.Image], beam_size: int
) -> None:
    options = DecodingOptions(beam_size=beam_size, num_captions=beam_size, max_length=8)
    together = predictor.captions(pictures, options)
    for picture, captions in zip(pictures, together, strict=True):
        [alone] = predictor.captions([picture], options)
        assert [caption.text for caption in alone] == [caption.text for caption in captions]
        for one, other in zip(alone, captions, strict=True):
            assert one.log_prob == pytest.approx(other.log_prob, rel=1e-4)


def test_a_prepared_picture_stands_for_its_photo(predictor: CaptionPredictor, pictures: list[Image.Image]) -> None:
    prepared = [predictor.prepare(picture) for picture in pictures]
    assert {picture.size for picture in prepared} == {(64, 64)}
    np.testing.assert_array_equal(predictor.transform.batch(prepared), predictor.transform.batch(pictures))
    assert predictor.prepare(prepared[0]) is prepared[0]
    with pytest.raises(OptionError, match="image mode"):
        predictor.prepare(pictures[0].convert("L"))


def test_captions_explain_themselves(predictor: CaptionPredictor, pictures: list[Image.Image]) -> None:
    for captions in predictor.captions(pictures, DecodingOptions(beam_size=3, num_captions=3, max_length=6)):
        for caption in captions:
            assert caption.attention is not None
            assert caption.attention.shape == (len(caption.words), 2, 2)
            np.testing.assert_allclose(caption.attention.sum(axis=(1, 2)), 1, rtol=1e-5)
            words = sum(word.log_prob for word in caption.words)
            assert caption.log_prob < words if caption.finished else caption.log_prob == pytest.approx(words)
            assert caption.text.replace("'s", " 's").split() == [word.text for word in caption.words]


def test_bytes_and_pictures_give_the_same(predictor: CaptionPredictor, pictures: list[Image.Image]) -> None:
    stream = io.BytesIO()
    pictures[0].save(stream, "PNG")
    assert predictor.caption(stream.getvalue()).text == predictor.caption(pictures[0]).text
    with pytest.raises(InvalidImageError):
        predictor.caption(stream.getvalue()[:200])


def test_what_is_read_is_what_is_captioned_and_knows_its_size(predictor: CaptionPredictor) -> None:
    stream = io.BytesIO()
    noise_image(5, 700, 500).save(stream, "JPEG")
    read = predictor.read(stream.getvalue())
    assert (read.width, read.height, read.format, read.image.size) == (700, 500, "JPEG", (64, 64))
    reduced = decode_photo(stream.getvalue(), side=64)
    assert reduced.image.size == (350, 250)
    assert np.array_equal(np.asarray(read.image), np.asarray(predictor.transform.squash(reduced.image, reduced.box)))
    assert predictor.caption(stream.getvalue()).log_prob == predictor.caption(read.image).log_prob
    with pytest.raises(ImageTooLargeError, match="700 x 500"):
        predictor.read(stream.getvalue(), ImageLimits(max_side=699))


@pytest.mark.parametrize(
    "options",
    [
        DecodingOptions(beam_size=1, max_length=6),
        DecodingOptions(beam_size=4, num_captions=4, max_length=6, min_length=2, no_repeat_ngram_size=2),
        DecodingOptions(beam_size=4, groups=2, num_captions=3, max_length=6),
        DecodingOptions(search="sample", num_captions=3, max_length=6, temperature=2.0, seed=3),
        DecodingOptions(beam_size=3, max_length=6, beginning="two children"),
    ],
    ids=["greedy", "beam", "diverse", "sample", "beginning"],
)
def test_scores_agree_with_search(
    predictor: CaptionPredictor, pictures: list[Image.Image], options: DecodingOptions
) -> None:
    for picture in pictures:
        for found in predictor.captions([picture], options)[0]:
            scored = predictor.score(picture, found.text)
            for ours, theirs in zip(scored.words, found.words, strict=True):
                assert (ours.text, ours.known) == (theirs.text, True)
                assert ours.log_prob == pytest.approx(theirs.log_prob, abs=1e-4)
            assert scored.attention is not None
            assert found.attention is not None
            np.testing.assert_allclose(scored.attention, found.attention, atol=1e-4)
            if found.finished:
                assert scored.log_prob == pytest.approx(found.log_prob, abs=1e-4)


@pytest.mark.slow
def test_the_shipped_models_scores_agree_with_its_search() -> None:
    predictor = CaptionPredictor.from_checkpoint()
    for sample in sorted(SHIPPED.parents[1].glob("service/static/samples/*.jpg"))[:3]:
        picture = Image.open(sample).convert("RGB")
        for found in predictor.captions([picture], DecodingOptions(num_captions=3))[0]:
            assert found.finished
            # One row and several sum floats in other orders, 1e-6 apart, which rounding to 8 bits makes 0.003 of.
            assert predictor.score(picture, found.text).log_prob == pytest.approx(found.log_prob, abs=0.005)


def test_a_batch_of_scores_is_what_each_is_alone(predictor: CaptionPredictor, pictures: list[Image.Image]) -> None:
    texts = ["a dog", "Two children run on the grass!", "the dog's ball", "a", "grass", "on on on"]
    for picture, text, scored in zip(pictures, texts, predictor.scores(pictures, texts), strict=True):
        alone = predictor.score(picture, text)
        assert alone.text == scored.text
        assert alone.log_prob == pytest.approx(scored.log_prob, rel=1e-3)
        assert scored.finished
        assert scored.log_prob < sum(word.log_prob for word in scored.words)


def test_unknown_words_are_scored_and_said(predictor: CaptionPredictor, pictures: list[Image.Image]) -> None:
    scored = predictor.score(pictures[0], "A wombat runs")
    assert [(word.text, word.known) for word in scored.words] == [("a", True), ("wombat", False), ("runs", True)]
    assert scored.text == "a wombat runs"
    other = predictor.score(pictures[0], "A yeti runs")
    assert [word.log_prob for word in other.words] == [word.log_prob for word in scored.words]


def test_what_cannot_be_scored_or_begun_is_refused(predictor: CaptionPredictor, pictures: list[Image.Image]) -> None:
    with pytest.raises(OptionError, match="has 0 words; it must have between 1 and 200"):
        predictor.score(pictures[0], " ...")
    with pytest.raises(OptionError, match="has 201 words"):
        predictor.score(pictures[0], "dog " * 201)
    with pytest.raises(OptionError, match="does not know 'wombat', 'yeti'"):
        predictor.caption(pictures[0], DecodingOptions(beginning="a wombat a yeti"))


def test_a_forced_beginning_begins_every_caption(predictor: CaptionPredictor, pictures: list[Image.Image]) -> None:
    options = DecodingOptions(beam_size=3, num_captions=3, max_length=6, beginning="Two children")
    for captions in predictor.captions(pictures, options):
        for caption in captions:
            assert caption.text.startswith("two children")
            assert caption.attention is not None
            assert len(caption.attention) == len(caption.words)


def test_activations_are_those_of_stepping(predictor: CaptionPredictor, pictures: list[Image.Image]) -> None:
    options = DecodingOptions(beam_size=3, num_captions=3, max_length=6)
    both = predictor.captions(pictures[:2], options, activations=True)
    assert isinstance(predictor.runtime, TorchRuntime)
    model, tokenizer = predictor.runtime.model, predictor.tokenizer
    decoder = model.decoder
    for picture, captions in zip(pictures, both, strict=False):
        with torch.no_grad():
            memory = decoder.prepare(model(torch.from_numpy(predictor.transform.batch([picture]))))
        for caption in captions:
            assert caption.activations is not None
            state, read = decoder.begin(memory), [tokenizer.bos_id, *tokenizer.encode(caption.text)]
            for row in range(len(caption.words)):
                state = decoder.step(torch.tensor(read[row : row + 1]), memory, state).state
                hidden = caption.activations["language.0.hidden"][row]
                np.testing.assert_allclose(hidden, state.language.hidden[0].detach().numpy(), atol=1e-3)
    scored = predictor.score(pictures[0], both[0][0].text, activations=True)
    assert scored.activations is not None
    assert both[0][0].activations is not None
    for name, values in scored.activations.items():
        np.testing.assert_allclose(values, both[0][0].activations[name], atol=1e-3)
    assert predictor.caption(pictures[0]).activations is None


def test_no_pictures_no_captions(predictor: CaptionPredictor) -> None:
    assert predictor.captions([]) == []
    assert predictor.scores([], []) == []


def test_the_hash_is_that_of_the_weights_that_were_loaded(
    small_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if another file takes the place of the first as soon as that is read."""
    path, other = tmp_path / "model.safetensors", tmp_path / "other.safetensors"
    save_checkpoint(small_checkpoint, path)
    save_checkpoint(replace(small_checkpoint, provenance={"name": "other"}), other)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    build = CaptionModel.__init__

    def replace_file(*arguments: Any) -> None:
        if other.exists():
            os.replace(other, path)
        build(*arguments)

    monkeypatch.setattr(CaptionModel, "__init__", replace_file)
    info = CaptionPredictor.from_checkpoint(path).info
    assert (info.name, info.sha256) == ("small", expected)
    assert CaptionPredictor.from_checkpoint(path).info.name == "other"


def test_the_model_says_its_name(predictor: CaptionPredictor, small_checkpoint: Checkpoint) -> None:
    assert (predictor.info.name, predictor.info.version) == ("small", "7")
    bare = CaptionPredictor(Checkpoint(small_checkpoint.model, small_checkpoint.tokenizer))
    assert (bare.info.name, bare.info.version) == ("unnamed", "unversioned")


@pytest.mark.slow
def test_the_shipped_model_captions_batches_as_it_captions_alone() -> None:
    predictor = CaptionPredictor.from_checkpoint()
    samples = sorted(SHIPPED.parents[1].glob("service/static/samples/*.jpg"))
    pictures = [Image.open(sample).convert("RGB") for sample in samples]
    together = [captions[0].text for captions in predictor.captions(pictures)]
    assert together == [predictor.caption(picture).text for picture in pictures]
    assert all(len(text.split()) >= 3 for text in together)


@pytest.mark.parametrize(("given", "cpus", "expected"), [(None, 2, 2), (None, 64, 3), (4, 2, 4)])
def test_threads_are_no_more_than_a_container_allows_unless_told(
    small_checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch, given: int | None, cpus: int, expected: int
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("captioner.runtimes.torch.available_cpus", lambda: cpus)
    try:
        torch.set_num_threads(3)
        CaptionPredictor.from_checkpoint(small_checkpoint_file, threads=given)
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
