"""The plain search and the library's find the same, so that their times may be compared."""

import pytest
from PIL import Image

from benchmarks.reference import plain_beam_search
from captioner.checkpoint import Checkpoint
from captioner.decoding import DecodingOptions
from captioner.predictor import CaptionPredictor
from captioner.runtimes.torch import TorchRuntime


@pytest.mark.parametrize("beams", [1, 2, 3, 5])
@pytest.mark.parametrize("length_penalty", [0.0, 0.5])
@pytest.mark.parametrize("max_length", [3, 12])
def test_it_finds_what_the_library_finds(
    small_checkpoint: Checkpoint, pictures: list[Image.Image], beams: int, length_penalty: float, max_length: int
) -> None:
    predictor = CaptionPredictor(small_checkpoint)
    tokenizer, runtime = predictor.tokenizer, predictor.runtime
    assert isinstance(runtime, TorchRuntime)
    # From one beam the library searches greedily, and stops at the first end; a beam of one goes on to better ones.
    options = DecodingOptions(beam_size=beams, length_penalty=length_penalty, max_length=max_length, consensus=0)
    for picture in pictures:
        expected = predictor.captions([picture], options)[0][0]
        found = plain_beam_search(runtime.decoder, predictor.encode([picture]), tokenizer.special, options)
        if beams > 1:
            assert tokenizer.join(tokenizer.words(found.tokens)) == expected.text
            assert found.log_prob == pytest.approx(expected.log_prob, abs=1e-4)
        elif expected.finished:
            assert found.score >= options.score(expected.log_prob, len(expected.words) + 1) - 1e-4
