"""Class words of a model that has learnt nothing: what finds them is drawn by chance."""

import numpy as np

from captioner.class_words import ClassVocabulary, ClassWord, ClassWords


def draw_class_words(size: int, threshold: float = 0.0, bonus: float = 100.0) -> ClassWords:
    """Return three words of five of seven classes, read from vectors of a size, for the words of tests.conftest."""
    words = (ClassWord("dog", (5,), (0, 3)), ClassWord("child", (11,), (6,)), ClassWord("ball", (13, 9), (2, 4)))
    numbers = np.random.default_rng(1)
    matrix, bias = numbers.standard_normal((7, size)), numbers.standard_normal(7)
    vocabulary = ClassVocabulary(words, threshold, bonus, {"rarer_than": 20})
    return ClassWords.of(vocabulary, matrix.astype(np.float32), bias.astype(np.float32))
