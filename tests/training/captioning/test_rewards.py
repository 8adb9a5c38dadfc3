"""Rewards against pycocoevalcap's scores."""

from functools import cache

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

from training.captioning.rewards import ENDING, CiderD, Reward

WORDS = ("a", "the", "dog", "man", "two", "children", "runs", "plays", "on", "in", "grass", "snow", "red", "ball")


def captions(seed: int, images: int, each: int) -> dict[int, list[list[str]]]:
    draw = np.random.default_rng(seed)
    return {image: [list(draw.choice(WORDS, draw.integers(1, 13))) for _ in range(each)] for image in range(images)}


def texts(of: dict[int, list[list[str]]]) -> dict[int, list[str]]:
    return {image: [" ".join(words) for words in each] for image, each in of.items()}


@pytest.mark.parametrize("seed", range(5))
def test_cider_equals_pycocoevalcap(seed: int) -> None:
    references, guesses = captions(seed, 20, 4), captions(seed + 100, 20, 1)
    _, expected = Cider().compute_score(texts(references), texts(guesses))
    score = CiderD(references)
    assert [score(image, guess) for image, [guess] in guesses.items()] == pytest.approx(list(expected), abs=1e-9)


def test_a_reference_of_its_own_is_worth_most() -> None:
    references = captions(1, 30, 1)
    score = CiderD(references)
    for image, [words] in references.items():
        best = max(range(30), key=lambda other: score(image, references[other][0]))
        assert references[best] == [words]


def longest_common(a: list[str], b: list[str]) -> int:
    """The longest common subsequence, by recursion over what is left of both."""

    @cache
    def length(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return 1 + length(i + 1, j + 1) if a[i] == b[j] else max(length(i + 1, j), length(i, j + 1))

    return length(0, 0)


def rouge_l(caption: list[str], references: list[list[str]]) -> float:
    """Lin 2004's F of the best precision and the best recall, beta 1.2."""
    common = [longest_common(caption, reference) for reference in references]
    precision = max(common) / len(caption)
    recall = max(shared / len(reference) for shared, reference in zip(common, references, strict=True))
    return (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision) if max(common) else 0.0


def test_bleu_and_rouge_add_their_shares() -> None:
    references, guesses = captions(2, 10, 3), captions(102, 10, 1)
    ended = {image: [[*words, ENDING] for words in each] for image, each in references.items()}
    closed = {image: [[*words, ENDING] for words in each] for image, each in guesses.items()}
    _, bleu = Bleu(4).compute_score(texts(ended), texts(closed), verbose=0)
    rouge = [rouge_l(each[0], ended[image]) for image, each in closed.items()]
    images, written = list(closed), [each[0] for each in closed.values()]
    reward = Reward(references)
    plain, mixed = np.array(reward(images, written)), np.array(reward(images, written, 0.5, 2.0))
    np.testing.assert_allclose(mixed - plain, 0.5 * np.array(bleu[3]) + 2 * np.array(rouge), atol=1e-9)


def test_an_ending_in_the_wrong_place_costs() -> None:
    references = {0: [["a", "dog", "on", "the", "grass"]], 1: [["two", "children"]], 2: [["a", "ball"]]}
    reward = Reward(references)
    whole, dangling, cut = reward(
        [0, 0, 0], [["a", "dog", "on", "the", "grass", ENDING], ["a", "dog", "on", "the", ENDING], references[0][0]]
    )
    assert whole == pytest.approx(10)
    assert dangling < whole
    assert cut < whole
