"""Repeats, loose ends and variety of captions."""

import json
from pathlib import Path

import pytest

from training.data import CaptionSource
from training.evaluation.diversity import dangles, echoes, repeats_at_once, repeats_phrase, training_captions, wording


@pytest.mark.parametrize(
    ("caption", "at_once", "echo", "phrase", "loose"),
    [
        ("a dog runs in the snow", False, False, False, False),
        ("a a dog runs", True, False, False, False),
        ("a brown and brown dog", False, True, False, False),
        ("a red or red dog and cat", False, True, False, False),
        ("a brown dog and a brown cat", False, False, False, False),  # one word again is fine
        ("a man in a red shirt and a red shirt", False, False, True, False),
        ("a man in a hat and a man in a coat", False, False, False, False),  # only function words in common
        ("two dogs and two dogs", False, False, False, False),  # a number is a function word
        ("red red red red", True, False, True, False),
        ("a dog in the", False, False, False, True),
        ("a dog runs through", False, False, False, True),
        ("a dog and", False, False, False, True),
        ("a dog is", False, False, False, True),
        ("a man looks up", False, False, False, False),  # an adverb ends a sentence well
        ("a boy with his dog behind him", False, False, False, False),
        ("", False, False, False, True),
    ],
)
def test_what_is_found_in_a_caption(caption: str, at_once: bool, echo: bool, phrase: bool, loose: bool) -> None:
    words = caption.split()
    assert (repeats_at_once(words), echoes(words), repeats_phrase(words), dangles(words)) == (
        at_once,
        echo,
        phrase,
        loose,
    )


def test_shares_and_sizes() -> None:
    captions = ["a a dog", "a dog", "a dog", "a red and red cat on", "old new old new"]
    found = wording(captions, known={"a dog", "a bird"})
    assert found.to_dict() == {
        "captions": 5,
        "immediate_repeats": 0.2,
        "echoes": 0.2,
        "repeated_phrases": 0.2,
        "dangling": 0.2,
        "distinct": 0.8,
        "new": 0.6,
        "mean_length": 17 / 5,
        "vocabulary": 8,
    }
    assert wording(captions).new is None
    assert "new" not in wording(captions).to_dict()


def test_training_captions_are_tokenized_and_need_no_photos(tmp_path: Path) -> None:
    file = tmp_path / "captions.json"
    annotations = [
        {"id": 1, "image_id": 1, "caption": "A dog runs ."},
        {"id": 2, "image_id": 1, "caption": "The dog's"},
    ]
    file.write_text(json.dumps({"images": [{"id": 1, "file_name": "1.png"}], "annotations": annotations}))
    assert training_captions(CaptionSource(file, Path())) == {"a dog runs", "the dog 's"}
