"""Captions as WebVTT (https://www.w3.org/TR/webvtt1/), for players and for those who listen.

The same cues do for ``<track kind="captions">`` and ``<track kind="descriptions">``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from captioner.errors import OptionError

Review = Literal["keep", "mark", "omit"]
REVIEWS: tuple[str, ...] = get_args(Review)
MARK = "(unsure) "  # which can be read as well as heard
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True)
class Cue:
    """A text and when it is shown.

    Attributes:
        start: In seconds.
        end: In seconds; a cue that would be shorter lasts a millisecond.
        text: What is shown.
        needs_review: Whether a person should look at it; ``None`` if that is not known.
    """

    start: float
    end: float
    text: str
    needs_review: bool | None = None


def webvtt(cues: Iterable[Cue], review: Review = "mark") -> str:
    """Return cues as a WebVTT file.

    Args:
        cues: In the order of their times.
        review: What becomes of cues that need review: ``keep`` shows them like others, ``mark`` begins them with
            "(unsure)", ``omit`` leaves them out.

    Raises:
        OptionError: If ``review`` is something else.
    """
    if review not in REVIEWS:
        raise OptionError(f"review is {review!r}; it must be {', '.join(REVIEWS)}")
    said = [cue for cue in cues if cue.text.strip() and not (review == "omit" and cue.needs_review)]
    blocks = [_block(cue, review) for cue in said]
    return "\n".join(["WEBVTT\n", *blocks])


def _block(cue: Cue, review: Review) -> str:
    start = round(1000 * cue.start)
    end = max(start + 1, round(1000 * cue.end))
    text = " ".join(cue.text.split())  # an empty line would end the cue
    marked = MARK * (review == "mark" and bool(cue.needs_review)) + text
    return f"{_stamp(start)} --> {_stamp(end)}\n{marked.translate(_ENTITIES)}\n"


def _stamp(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{rest:03}"
