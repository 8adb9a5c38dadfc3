"""WebVTT: another library reads what was written, and nothing that a caption says can break it."""

import io

import pytest
import webvtt as reader
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.clips import Cue, webvtt
from captioner.errors import OptionError

CUES = [Cue(0, 1.5, "a dog runs", False), Cue(1.5, 3723.0405, "two children", True), Cue(4000, 4000, "a ball", None)]


def read(text: str) -> list[tuple[str, str, str]]:
    return [(one.start, one.end, one.text) for one in reader.from_buffer(io.StringIO(text)).captions]


def test_another_library_reads_the_cues() -> None:
    assert read(webvtt(CUES)) == [
        ("00:00:00.000", "00:00:01.500", "a dog runs"),
        ("00:00:01.500", "01:02:03.040", "(unsure) two children"),
        ("01:06:40.000", "01:06:40.001", "a ball"),
    ]


@pytest.mark.parametrize(
    ("review", "expected"),
    [("keep", ["a dog runs", "two children", "a ball"]), ("omit", ["a dog runs", "a ball"])],
)
def test_what_needs_review_is_kept_or_left_out(review: str, expected: list[str]) -> None:
    assert [text for *_, text in read(webvtt(CUES, review))] == expected  # type: ignore[arg-type]


def test_nothing_said_is_still_a_file() -> None:
    assert webvtt([]) == "WEBVTT\n"


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(OptionError, match="it must be keep, mark, omit"):
        webvtt(CUES, "drop")  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4))
def test_no_text_breaks_the_grammar(texts: list[str]) -> None:
    """A block is a line of times and one line of text without `-->`, `<` or a bare `&` (sections 4.1 and 4.2)."""
    made = webvtt([Cue(i, i + 1, text) for i, text in enumerate(texts)])
    head, *blocks = made.split("\n\n")
    assert head.strip() == "WEBVTT"
    assert len(blocks) == sum(bool(text.strip()) for text in texts)
    for block in blocks:
        times, *rest = block.removesuffix("\n").split("\n")
        assert times.count(" --> ") == 1
        assert len(rest) == 1
        assert "-->" not in rest[0]
        assert "<" not in rest[0]
        assert "\r" not in rest[0]
