"""The JSON of captions."""

import numpy as np
import pytest

from captioner.types import Caption, Word
from service.web.responses import caption_payload


@pytest.mark.parametrize("count", [0, 1, 3])
def test_each_word_has_its_weights_row_by_row(count: int) -> None:
    """A caption that ends before its first word is one, too."""
    weights = np.random.default_rng(0).random((count, 2, 3), dtype=np.float32)
    words = tuple(Word(f"w{index}", -0.5) for index in range(count))
    payload = caption_payload(Caption(" ".join(one.text for one in words), words, -1.0, weights, finished=True))
    expected = [[round(float(value), 6) for value in one.ravel()] for one in weights]
    assert [entry["attention"] for entry in payload["words"]] == expected


def test_without_attention_a_word_has_no_weights() -> None:
    payload = caption_payload(Caption("w", (Word("w", -0.5),), -0.5, None, finished=True))
    assert payload["words"][0]["attention"] is None
