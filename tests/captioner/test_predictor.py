"""From pictures to captions."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner.checkpoint import SHIPPED, Checkpoint
from captioner.decoding import DecodingOptions
from captioner.errors import InvalidImageError
from captioner.predictor import CaptionPredictor


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


def test_no_pictures_no_captions(predictor: CaptionPredictor) -> None:
    assert predictor.captions([]) == []


def test_the_model_says_its_name(predictor: CaptionPredictor, small_checkpoint: Checkpoint) -> None:
    assert (predictor.info.name, predictor.info.version) == ("small", "7")
    bare = CaptionPredictor(Checkpoint(small_checkpoint.model, small_checkpoint.tokenizer))
    assert (bare.info.name, bare.info.version) == ("unnamed", "unversioned")


def test_the_shipped_model_captions_batches_as_it_captions_alone() -> None:
    predictor = CaptionPredictor.from_checkpoint()
    samples = sorted(SHIPPED.parents[1].glob("service/static/samples/*.jpg"))
    pictures = [Image.open(sample).convert("RGB") for sample in samples]
    together = [captions[0].text for captions in predictor.captions(pictures)]
    assert together == [predictor.caption(picture).text for picture in pictures]
    assert all(len(text.split()) >= 3 for text in together)
