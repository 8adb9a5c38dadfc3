"""Rewards against pycocoevalcap's scores."""

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

from training.rewards import ENDING, CiderD, Reward

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


def test_bleu_adds_its_share() -> None:
    references, guesses = captions(2, 10, 3), captions(102, 10, 1)
    ended = {image: [[*words, ENDING] for words in each] for image, each in references.items()}
    closed = {image: [[*words, ENDING] for words in each] for image, each in guesses.items()}
    _, bleu = Bleu(4).compute_score(texts(ended), texts(closed), verbose=0)
    images, written = list(closed), [each[0] for each in closed.values()]
    plain, mixed = Reward(references)(images, written), Reward(references)(images, written, 0.5)
    extra = [b - a for a, b in zip(plain, mixed, strict=True)]
    assert extra == pytest.approx([0.5 * score for score in bleu[3]], abs=1e-9)


def test_an_ending_in_the_wrong_place_costs() -> None:
    references = {0: [["a", "dog", "on", "the", "grass"]], 1: [["two", "children"]], 2: [["a", "ball"]]}
    reward = Reward(references)
    whole, dangling, cut = reward(
        [0, 0, 0], [["a", "dog", "on", "the", "grass", ENDING], ["a", "dog", "on", "the", ENDING], references[0][0]]
    )
    assert whole == pytest.approx(10)
    assert dangling < whole
    assert cut < whole
