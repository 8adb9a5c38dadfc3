"""What words are made of besides letters: characters that belong to the letter before them, and those unseen."""

import unicodedata
from collections.abc import Iterator

JOINERS = "\u180e\u200c\u200d"  # Mongolian vowel separator, zero-width non-joiner and joiner: spelling, not space
INVISIBLE = "\u00ad\u061c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # soft hyphens, directions, word joiners
LAST_MARK = 0x20000  # above stand ideographs and tags
IDEOGRAPHIC_SELECTORS = "\U000e0100-\U000e01ef"


def _marks() -> Iterator[str]:
    """Return the ranges of Unicode's categories Mn, Mc and Me, as they stand in a regular expression's class."""
    found = [code for code in range(0x300, LAST_MARK) if unicodedata.category(chr(code)).startswith("M")]
    start = found[0]
    for code, following in zip(found, [*found[1:], LAST_MARK + 1], strict=True):
        if following != code + 1:
            yield f"{chr(start)}-{chr(code)}"
            start = following
    yield IDEOGRAPHIC_SELECTORS


MARKS = "".join(_marks())
