"""Bootstrap intervals against the normal approximation and against drawing photo by photo."""

import numpy as np
import pytest

from captioner.errors import OptionError
from training.evaluation import bootstrap as module
from training.evaluation.bootstrap import Bootstrap, score_intervals
from training.evaluation.metrics import MetricReport, corpus_bleu, score_captions

WORDS = ["a", "the", "dog", "cat", "man", "runs", "sits", "on", "in", "grass", "snow", "red"]


def report(photos: int = 60) -> MetricReport:
    random = np.random.default_rng(0)

    def sentence() -> str:
        return " ".join(random.choice(WORDS, random.integers(5, 9)))

    references = {image: [sentence() for _ in range(3)] for image in range(photos)}
    candidates = {image: " ".join(texts[0].split()[:3] + sentence().split()[:3]) for image, texts in references.items()}
    return score_captions(candidates, references, engine="python")


def test_a_mean_has_the_interval_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).gamma(2.0, 3.0, (800, 2))
    ends = Bootstrap(replicates=4000).interval(values)
    error = 1.959964 * values.std(axis=0) / np.sqrt(len(values))
    np.testing.assert_allclose(ends, [values.mean(axis=0) - error, values.mean(axis=0) + error], rtol=0.01)


def test_a_lower_level_is_narrower_and_seeds_repeat() -> None:
    values = np.random.default_rng(2).normal(size=(50, 1))
    wide, narrow = Bootstrap(level=0.99).interval(values), Bootstrap(level=0.5).interval(values)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]
    np.testing.assert_array_equal(Bootstrap(seed=4).interval(values), Bootstrap(seed=4).interval(values))
    assert (Bootstrap(seed=4).interval(values) != Bootstrap(seed=5).interval(values)).any()


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(size=(30, 2))
    whole = Bootstrap(replicates=200).interval(values)
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 7 * 30)
    np.testing.assert_allclose(Bootstrap(replicates=200).interval(values), whole, rtol=1e-12)


def test_intervals_of_scores_are_those_of_scoring_drawn_photos() -> None:
    found, bootstrap = report(), Bootstrap(replicates=300)
    draws = np.concatenate(list(bootstrap._draws(found.images))).astype(int)
    assert (draws.sum(axis=1) == found.images).all()
    rows = [np.repeat(np.arange(found.images), draw) for draw in draws]
    cider, rouge = (np.array(list(s.values())) for s in (found.per_image_cider, found.per_image_rouge_l))
    bleu = np.array([corpus_bleu(found.bleu_counts[row].sum(axis=0)) for row in rows])
    expected = {f"BLEU-{order}": bleu[:, order - 1] for order in range(1, 5)}
    expected |= {
        name: np.array([scores[row].mean() for row in rows]) for name, scores in (("ROUGE-L", rouge), ("CIDEr", cider))
    }
    intervals = score_intervals(found, bootstrap)
    assert list(intervals) == list(found.percent())
    for name, (low, high) in intervals.items():
        assert (low, high) == pytest.approx(tuple(100 * np.quantile(expected[name], [0.025, 0.975])), abs=1e-9)
        assert low < found.percent()[name] < high


@pytest.mark.parametrize(
    ("options", "message"),
    [({"replicates": 99}, "replicates is 99; it must be at least 100"), ({"level": 1.0}, "level is 1.0; it must be")],
)
def test_bad_options_are_told(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Bootstrap(**options)  # type: ignore[arg-type]
