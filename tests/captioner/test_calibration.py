"""Calibrated confidence: its equations, its promises, and what the predictor makes of it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner.calibration import (
    Calibration,
    CaptionCalibration,
    WordCalibration,
    caption_features,
    log_odds,
    logistic,
    word_features,
)
from captioner.checkpoint import Checkpoint
from captioner.config import from_dict, to_dict
from captioner.decoding import DecodingOptions
from captioner.errors import ConfigError
from captioner.predictor import CaptionPredictor

LOG_PROBS = st.lists(st.floats(-15, 0), min_size=2, max_size=8)
CURVE = tuple(np.linspace(-14, 14, 400))


def test_features_are_what_they_say() -> None:
    log_probs = [-0.1, -1.2, -3.0, -0.4]  # three words and the ending
    expected = [
        [math.log(math.exp(p) / (1 - math.exp(p))), math.log(rank), math.log(place), sum(log_probs) / 4]
        for place, (p, rank) in enumerate(zip(log_probs, (1, 7, 3), strict=False), start=1)
    ]
    np.testing.assert_allclose(word_features([4, 10, 6], log_probs), expected, atol=1e-12)


def test_certain_and_impossible_words_have_finite_odds() -> None:
    np.testing.assert_allclose(log_odds(np.array([0.0, -1e-30, -800.0])), [12, 12, -12])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_scaling_is_a_special_case(temperature: float) -> None:
    curve = tuple(map(logistic, CURVE))
    scaled = WordCalibration((1 / temperature, 0, 0, 0), 0, CURVE, curve)
    probabilities = np.array([0.02, 0.3, 0.5, 0.9, 0.99])
    found = scaled(word_features([4, 5, 6, 7, 8], np.log(probabilities).tolist()))
    expected = [logistic(math.log(p / (1 - p)) / temperature) for p in probabilities]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    if temperature == 1:
        np.testing.assert_allclose(found, probabilities, atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(LOG_PROBS, st.data())
def test_confidence_never_falls_as_probability_rises(log_probs: list[float], data: st.DataObject) -> None:
    weights = data.draw(st.tuples(st.floats(0, 2), *[st.floats(-2, 2)] * 2, st.floats(0, 2)))
    corners = tuple(sorted(data.draw(st.sets(st.integers(-50, 50), min_size=1, max_size=6))))
    heights = tuple(sorted(data.draw(st.floats(0, 1)) for _ in corners))
    words = WordCalibration(weights, 0.5, corners, heights)
    place = data.draw(st.integers(0, len(log_probs) - 1))
    likelier = [p / 2 if index == place else p for index, p in enumerate(log_probs)]
    tokens = list(range(4, 4 + len(log_probs)))
    before, after = (words(word_features(tokens, values))[place] for values in (log_probs, likelier))
    assert 0 <= before <= after + 1e-12 <= 1 + 2e-12
    captions = CaptionCalibration(weights[0], 1.0, 0.2, 0.5, telling_slope=weights[3])
    lower, higher = (
        captions(caption_features(word_features(tokens, values), values)) for values in (log_probs, likelier)
    )
    assert 0 <= lower <= higher <= 1


def test_caption_features_are_what_they_say() -> None:
    log_probs = [-0.1, -1.2, -3.0, -0.4]  # three words and the ending
    odds = [math.log(math.exp(p) / (1 - math.exp(p))) for p in log_probs[:3]]
    telling = (math.log(7) * odds[1] + math.log(3) * odds[2]) / (math.log(7) + math.log(3))
    np.testing.assert_allclose(
        caption_features(word_features([4, 10, 6], log_probs), log_probs), [-4.7 / 4, telling], atol=1e-12
    )


@pytest.mark.parametrize(("tokens", "log_probs"), [([], [-0.3]), ([4], [-0.2, -0.4])])
def test_a_caption_without_a_telling_word_has_finite_features(tokens: list[int], log_probs: list[float]) -> None:
    np.testing.assert_allclose(caption_features(word_features(tokens, log_probs), log_probs), [-0.3, -0.3])


def test_a_calibration_of_an_earlier_version_means_what_it_did() -> None:
    old = from_dict(CaptionCalibration, {"slope": 2.0, "bias": 4.5, "good_cider": 0.2, "review_below": 0.5})
    log_probs = [-0.1, -1.2, -3.0, -0.4]
    assert old(caption_features(word_features([4, 10, 6], log_probs), log_probs)) == pytest.approx(
        1 / (1 + math.exp(2.0 * 4.7 / 4 - 4.5))
    )


@pytest.mark.parametrize("value", [-2000.0, -1.5, 0.0, 0.3, 2000.0])
def test_logistic(value: float) -> None:
    expected = 1 / (1 + math.exp(-value)) if abs(value) < 700 else float(value > 0)
    assert logistic(value) == pytest.approx(expected)


def test_it_survives_plain_values(calibration: Calibration) -> None:
    assert from_dict(Calibration, to_dict(calibration)) == calibration


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": (-0.1, 0, 0, 0)}, "weight of log_odds is -0.1; it must be at least 0"),
        ({"weights": (0.1, 0, 0, -2.0)}, "weight of caption_log_prob is -2.0; it must be at least 0"),
        ({"bias": math.nan}, "not finite"),
        ({"scores": (), "confidences": ()}, "0 scores and 0 confidences"),
        ({"scores": (0.0, 1.0)}, "2 scores and 4 confidences"),
        ({"scores": (0.0, 0.0, 1.0, 2.0)}, "must rise"),
        ({"confidences": (0.1, 0.3, 0.2, 0.9)}, "must not fall"),
        ({"confidences": (0.1, 0.3, 0.6, 1.1)}, "must be between 0 and 1"),
    ],
)
def test_words_that_cannot_be_calibrated_so(calibration: Calibration, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(calibration.word, **changes)


def test_captions_that_cannot_be_calibrated_so(calibration: Calibration) -> None:
    with pytest.raises(ConfigError, match=r"the slope of a caption calibration is -1.0"):
        replace(calibration.caption, slope=-1.0)
    with pytest.raises(ConfigError, match=r"the telling_slope of a caption calibration is -0.5"):
        replace(calibration.caption, telling_slope=-0.5)
    with pytest.raises(ConfigError, match=r"review_below is 1.5; it must be between 0 and 1"):
        replace(calibration.caption, review_below=1.5)


@pytest.fixture(scope="module")
def sure(small_checkpoint: Checkpoint, calibration: Calibration) -> CaptionPredictor:
    return CaptionPredictor(replace(small_checkpoint, calibration=calibration))


def test_captions_say_how_sure_one_can_be(
    sure: CaptionPredictor, calibration: Calibration, pictures: list[Image.Image]
) -> None:
    for captions in sure.captions(pictures, DecodingOptions(beam_size=3, num_captions=3, max_length=6)):
        for caption in captions:
            words = [word.log_prob for word in caption.words]
            ending = [caption.log_prob - sum(words)] if caption.finished else []
            tokens = sure.tokenizer.encode(caption.text)
            features = word_features(tokens, [*words, *ending])
            expected = calibration.word(features)
            assert [word.confidence for word in caption.words] == pytest.approx(expected.tolist(), abs=1e-5)
            mean, telling = caption_features(features, [*words, *ending])
            expected_whole = 1 / (1 + math.exp(-(2.0 * mean + 0.5 * telling + 4.5)))
            assert caption.confidence == pytest.approx(expected_whole, abs=1e-5)
            assert caption.confidence is not None
            assert caption.needs_review == (caption.confidence < 0.4)


def test_a_text_is_as_sure_as_the_same_caption(sure: CaptionPredictor, pictures: list[Image.Image]) -> None:
    found = sure.caption(pictures[0], DecodingOptions(max_length=8, min_length=2))
    scored = sure.score(pictures[0], found.text)
    if found.finished:
        assert scored.confidence == pytest.approx(found.confidence, abs=1e-4)
        assert scored.needs_review == found.needs_review
    assert found.confidence is not None


def test_unknown_words_have_no_confidence(sure: CaptionPredictor, pictures: list[Image.Image]) -> None:
    scored = sure.score(pictures[0], "a wombat runs")
    assert [word.confidence is None for word in scored.words] == [False, True, False]
    assert (scored.confidence, scored.needs_review) == (None, None)


def test_without_a_calibration_there_is_no_confidence(
    small_checkpoint: Checkpoint, pictures: list[Image.Image]
) -> None:
    caption = CaptionPredictor(small_checkpoint).caption(pictures[0], DecodingOptions(min_length=2))
    assert (caption.confidence, caption.needs_review) == (None, None)
    assert {word.confidence for word in caption.words} == {None}


@pytest.mark.parametrize(("threshold", "flag"), [(0.0, False), (1.0, True)])
def test_the_threshold_decides_what_needs_review(
    small_checkpoint: Checkpoint, calibration: Calibration, pictures: list[Image.Image], threshold: float, flag: bool
) -> None:
    caption_calibration = replace(calibration.caption, review_below=threshold)
    predictor = CaptionPredictor(
        replace(small_checkpoint, calibration=replace(calibration, caption=caption_calibration))
    )
    assert predictor.caption(pictures[0]).needs_review is flag
