"""Fitting and measuring confidence: known answers come back, and errors are what brute force says."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from captioner.calibration import log_odds
from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from captioner.config import DecoderConfig, EncoderConfig, ImageConfig, ModelConfig
from captioner.errors import OptionError
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from captioner.tokenizers import CharacterTokenizer, WordTokenizer
from captioner.types import Caption, Word
from tests.training.conftest import write_coco
from training.__main__ import main
from training.data import CaptionedImage
from training.errors import TrainingError
from training.evaluation.calibration import Standards, fit_calibration, study
from training.evaluation.examples import Examples, first_half, make_examples, right_words
from training.evaluation.fitting import (
    fit_inverse_temperature,
    fit_logistic,
    fit_rising_curve,
    pool_violators,
    probability,
    rising_logistic,
)
from training.evaluation.reliability import auroc, calibration_error, halves, measure, reliability, risk_coverage, trust

Array = NDArray[np.float64]
RANDOM = np.random.default_rng(0)


def drawn(sure: Array) -> Array:
    return (RANDOM.random(sure.shape) < sure).astype(np.float64)


def made_up(photos: int = 3000, words: int = 6, temperature: float = 2.5) -> Examples:
    """Words that are right as temperature scaling says, captions that are good as their log-probability says."""
    odds = RANDOM.normal(1, 2, (photos, words))
    features = np.stack([odds, *RANDOM.normal(size=(2, photos, words)), np.full_like(odds, -1.0)], axis=2)
    means = RANDOM.normal(-1, 0.3, photos)
    cider = np.where(drawn(probability(4 * means + 4)), 0.9, 0.05) * RANDOM.uniform(0.5, 1.5, photos)
    return Examples(
        np.repeat(np.arange(photos), words),
        features.reshape(-1, 4),
        drawn(probability(odds / temperature)).ravel(),
        np.column_stack([means, RANDOM.normal(size=photos)]),
        cider,
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    odds = RANDOM.normal(0, 3, 40_000)
    found = fit_inverse_temperature(odds, drawn(probability(odds / temperature)))
    assert 1 / found == pytest.approx(temperature, rel=0.05)


def test_known_weights_are_found_at_the_likelihoods_peak() -> None:
    features = RANDOM.normal(size=(5000, 3))
    labels = drawn(probability(features @ [1.0, -2.0, 0.5] - 0.7))
    weights, bias = fit_logistic(features, labels)
    np.testing.assert_allclose([*weights, bias], [1.0, -2.0, 0.5, -0.7], atol=0.15)
    rest = labels - probability(features @ weights + bias)
    np.testing.assert_allclose(np.column_stack([features, np.ones(5000)]).T @ rest / 5000, 0, atol=1e-5)


def test_labels_without_a_mistake_still_give_finite_weights() -> None:
    weights, bias = fit_logistic(np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0.0, 0, 1, 1]))
    assert np.isfinite([*weights, bias]).all()
    assert weights[0] > 1


def test_a_weight_that_must_not_fall_is_left_out_when_it_would() -> None:
    features = RANDOM.normal(size=(4000, 3))
    labels = drawn(probability(features @ [-1.0, 1.0, -1.0]))
    weights, _ = rising_logistic(features, labels, [0, 1])
    assert weights[0] == 0
    assert weights[1] > 0.5
    assert weights[2] < -0.5


def brute_force_isotonic(values: Array, sizes: Array) -> Array:
    """The minimax formula: the largest over starts of the smallest over ends of weighted means."""
    count = len(values)

    def mean(start: int, end: int) -> float:
        return float(np.average(values[start : end + 1], weights=sizes[start : end + 1]))

    return np.array([max(min(mean(a, b) for b in range(i, count)) for a in range(i + 1)) for i in range(count)])


def test_isotonic_regression_equals_its_minimax_formula() -> None:
    for _ in range(20):
        values, sizes = RANDOM.random(9), RANDOM.integers(1, 5, 9).astype(float)
        np.testing.assert_allclose(pool_violators(values, sizes), brute_force_isotonic(values, sizes), atol=1e-12)


def test_the_rising_curve_keeps_the_mean_and_rises() -> None:
    scores = np.concatenate([RANDOM.normal(size=500), np.zeros(300)])  # many equal scores
    labels = drawn(probability(scores))
    corners, heights = fit_rising_curve(scores, labels)
    assert (np.diff(corners) > 0).all()
    assert (np.diff(heights) >= 0).all()
    assert np.interp(scores, corners, heights).mean() == pytest.approx(labels.mean(), abs=0.05)


def test_calibration_error_equals_brute_force() -> None:
    sure, right = RANDOM.random(700), RANDOM.integers(0, 2, 700).astype(float)
    sure[:3] = 0.0, 1.0, 0.1
    table, expected = reliability(sure, right), 0.0
    for index in range(10):
        inside = [i for i, s in enumerate(sure) if index / 10 <= s < (index + 1) / 10 or (index == 9 and s == 1.0)]
        gap = sum(sure[inside]) / len(inside) - sum(right[inside]) / len(inside)
        assert table[index].count == len(inside)
        expected += len(inside) / 700 * abs(gap)
    assert calibration_error(table) == pytest.approx(expected)
    assert calibration_error(reliability(right, right)) == 0


def test_risk_and_coverage_equal_sorting_by_hand() -> None:
    sure, cider = RANDOM.random(40), RANDOM.random(40) * 100
    good = (cider >= 20).astype(float)
    best = sorted(range(40), key=lambda i: -sure[i])
    for one in risk_coverage(sure, cider, good):
        kept = best[: round(40 * one.coverage)]
        assert one.cider == pytest.approx(np.mean(cider[kept]))
        assert one.poor == pytest.approx(np.mean(good[kept] == 0))
        assert one.least == min(sure[kept])
    assert halves(sure, cider) == pytest.approx((cider[best[:20]].mean(), cider[best[20:]].mean()))


@pytest.mark.parametrize(
    ("agreement", "expected"),
    [(1, [True, True, True, True, False]), (2, [True, True, False, False, False]), (9, [True] + [False] * 4)],
)
def test_right_words_are_those_that_enough_people_used_as_often(agreement: int, expected: list[bool]) -> None:
    references = [["a", "brown", "dog"], ["a", "brown", "and", "brown", "cat"], ["a", "bird"]]
    assert right_words(["a", "brown", "and", "brown", "brown"], references, agreement) == expected


def test_examples_are_what_captions_and_references_say() -> None:
    tokenizer = WordTokenizer(["a", "dog", "runs"])
    words = (Word("a", -0.1), Word("dog", -0.2))
    captions = [Caption("a dog", words, -0.6, None, True), Caption("runs", (Word("runs", -2.0),), -2.0, None, False)]
    images = [
        CaptionedImage(1, Path("1.png"), ("A dog.", "The DOG runs")),
        CaptionedImage(2, Path("2.png"), ("it runs",)),
    ]
    found = make_examples(images, captions, [0.5, 0.1], tokenizer, 2)
    assert found.photo.tolist() == [0, 0, 1]
    assert found.right.tolist() == [0, 1, 1]
    np.testing.assert_allclose(found.caption_features[:, 0], [-0.2, -2.0])
    np.testing.assert_allclose(found.caption_features[:, 1], log_odds(np.array([-0.2, -2.0])))
    np.testing.assert_allclose(found.features[:, 1], np.log([1, 2, 3]))
    other = found.of(np.array([False, True]))
    assert (other.photo.tolist(), other.right.tolist(), other.cider.tolist()) == ([0], [1], [0.1])


def test_a_calibration_holds_on_photos_that_it_was_not_fitted_to() -> None:
    ours, others = made_up(), made_up()
    calibration = fit_calibration(ours, Standards())
    found = measure(calibration, others, fit_inverse_temperature(ours.features[:, 0], ours.right))
    assert found.word_error < 0.03
    assert found.temperature_word_error < 0.03
    assert found.raw_word_error > 0.1
    assert found.caption_error < 0.05
    assert found.confident_cider > found.doubtful_cider + 15
    assert found.flagged_poor is not None
    assert found.kept_poor is not None
    assert found.flagged_poor > 0.5 > found.kept_poor


def test_a_study_fits_to_all_and_measures_a_fit_to_one_half_on_the_other() -> None:
    examples = made_up(200)
    first = first_half(range(200))
    found = study(examples, first, Standards())
    assert found.calibration == fit_calibration(examples, Standards())
    assert (found.fitted_photos, found.half_photos) == (200, first.sum())
    half = fit_calibration(examples.of(first), Standards())
    assert found.measured.photos == (~first).sum()
    assert found.measured.word_error == trust(half, examples.of(~first)).word_error
    flipped = np.where(first[examples.photo], examples.right, 1 - examples.right)
    changed = study(replace(examples, right=flipped), first, Standards())
    assert changed.measured.word_error > found.measured.word_error + 0.1


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6])
def test_no_larger_share_than_wanted_needs_review(share: float) -> None:
    examples = made_up(400)
    found = trust(fit_calibration(examples, Standards(review_share=share)), examples)
    assert share - 0.01 <= found.flagged <= share
    assert fit_calibration(examples, Standards(review_below=0.7)).caption.review_below == 0.7


def test_a_caption_feature_that_tells_is_used_and_one_that_misleads_is_not() -> None:
    examples = made_up(2000)
    telling = np.where(examples.cider >= 0.2, 1.0, -1.0) + RANDOM.normal(size=2000)
    for sign in (1, -1):
        features = np.column_stack([examples.caption_features[:, 0], sign * telling])
        found = fit_calibration(replace(examples, caption_features=features), Standards()).caption
        assert (found.telling_slope > 0.5) if sign == 1 else (found.telling_slope == 0)


def test_auroc_equals_counting_pairs() -> None:
    sure, good = RANDOM.integers(0, 6, 60) / 6, RANDOM.integers(0, 2, 60).astype(float)
    pairs = [(a > b) + 0.5 * (a == b) for a in sure[good == 1] for b in sure[good == 0]]
    assert auroc(sure, good) == pytest.approx(np.mean(pairs))
    assert auroc(sure, np.ones(60)) is None


def test_trust_is_what_counting_says() -> None:
    examples = made_up(300)
    calibration = fit_calibration(made_up(300), Standards())
    found = trust(calibration, examples)
    sure = np.array([calibration.caption(features) for features in examples.caption_features])
    poor, flagged = examples.cider < 0.2, sure < calibration.caption.review_below
    assert (found.poor, found.flagged) == pytest.approx((poor.mean(), flagged.mean()))
    assert found.caught == pytest.approx((poor & flagged).sum() / poor.sum())


def test_halves_are_stable_and_about_equal() -> None:
    found = first_half(range(1000))
    assert 400 < found.sum() < 600
    assert found[::-1].tolist() == first_half(range(999, -1, -1)).tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"right": np.ones(6 * 60)}, "all words are right; there is nothing to calibrate"),
        ({"cider": np.zeros(60)}, "no captions are good; there is nothing to calibrate"),
    ],
)
def test_what_cannot_be_calibrated_is_told(changes: dict[str, Array], message: str) -> None:
    examples = made_up(60)
    with pytest.raises(TrainingError, match="10 photos are too few to calibrate with; at least 20"):
        fit_calibration(examples.of(np.arange(60) < 10), Standards())
    with pytest.raises(TrainingError, match=message):
        fit_calibration(replace(examples, **changes), Standards())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"agreement": 0}, "agreement is 0; it must be at least 1"),
        ({"good_cider": 0}, "good_cider is 0; it must be above 0 and at most 10"),
        ({"review_share": -0.1}, "review_share is -0.1; it must be between 0 and 1"),
        ({"review_below": 1.1}, "review_below is 1.1; it must be between 0 and 1"),
    ],
)
def test_bad_standards_are_told(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Standards(**options)  # type: ignore[arg-type]


def command(folder: Path, checkpoint: Path, out: Path, *more: str) -> Sequence[str]:
    data = ["--annotations", str(folder / "many.json"), "--images", str(folder / "many")]
    return ["calibrate", "--checkpoint", str(checkpoint), *data, "--out", str(out), "--beam-size", "2", *more]


def test_the_command_writes_a_checkpoint_that_knows_how_sure_it_is(
    small_checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_coco(tmp_path, "many", range(60))
    out, plot, numbers = (tmp_path / name for name in ("sure.safetensors", "sure.png", "sure.json"))
    standards = ["--agreement", "1", "--good-cider", "0.05", "--max-length", "6"]
    assert (
        main(command(tmp_path, small_checkpoint_file, out, *standards, "--plot", str(plot), "--json", str(numbers)))
        == 0
    )
    printed = capsys.readouterr().out
    for text in (
        "expected calibration error",
        "with the halves swapped",
        "needs review below a confidence of",
        f"wrote {out}",
    ):
        assert text in printed
    found = load_checkpoint(out).calibration
    assert found is not None
    assert (found.word.agreement, found.caption.good_cider) == (1, 0.05)
    assert found.provenance["search"]["beam_size"] == 2
    assert f"{found.provenance['word_calibration_error']:.4f}" in printed
    assert plot.stat().st_size > 10_000
    assert '"swapped_word_error"' in numbers.read_text()
    photo = (tmp_path / "many" / "0.png").read_bytes()
    caption = CaptionPredictor.from_checkpoint(out).caption(photo)
    assert caption.confidence is not None
    assert caption.text == CaptionPredictor.from_checkpoint(small_checkpoint_file).caption(photo).text


def test_a_model_that_spells_cannot_be_calibrated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_coco(tmp_path, "many", range(2))
    sizes = DecoderConfig(embedding_size=4, hidden_size=4, attention_size=4)
    tokenizer = CharacterTokenizer(["a", "b"])
    model = CaptionModel(ModelConfig(ImageConfig(64), EncoderConfig("tiny"), sizes), len(tokenizer))
    save_checkpoint(Checkpoint(model, tokenizer), tmp_path / "letters.safetensors")
    assert main(command(tmp_path, tmp_path / "letters.safetensors", tmp_path / "out.safetensors")) == 1
    assert "the model's tokens are characters; only words can be right or wrong" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()
