"""Flickr8k's and Flickr30k's own files.

``Flickr8k.token.txt`` and ``results_20130124.token`` have ``NAME.jpg#0<TAB>caption`` on a line; Flickr30k's
``results.csv`` has ``NAME.jpg| 0| caption`` below a header. Both know no splits; lists of photos do.
"""

import re

from training.data.formats.annotations import AnnotationFile, Entry, group

_TOKEN = re.compile(r"\s*(?P<photo>[^\t]+?)\s*#(?P<number>\d+)\s*\t(?P<caption>.*)")
# The separator after the number is optional: one line of the published file lacks it.
_PIPED = re.compile(r"\s*(?P<photo>[^|]+?)\s*\|\s*(?P<number>\d+)\s*\|?(?P<caption>.*)")
_HEADER = re.compile(r"\s*image_name\s*\|\s*comment_number\s*\|\s*comment\s*")


def recognises_token(file: AnnotationFile) -> bool:
    """Whether a file is a token file."""
    return _TOKEN.fullmatch(file.first_line) is not None


def read_token(file: AnnotationFile) -> list[Entry]:
    """Return the photos of a token file by name, captions in the order of their numbers.

    Raises:
        DataError: If a line is not in this format.
    """
    return _read(file, _TOKEN, "NAME.jpg#0, a tab, and the caption")


def recognises_piped(file: AnnotationFile) -> bool:
    """Whether a file is Flickr30k's ``results.csv``."""
    return _HEADER.fullmatch(file.first_line) is not None


def read_piped(file: AnnotationFile) -> list[Entry]:
    """Return the photos of a ``results.csv`` by name, captions in the order of their numbers.

    Raises:
        DataError: If a line is not in this format.
    """
    return _read(file, _PIPED, "NAME.jpg| 0| caption")


def _read(file: AnnotationFile, pattern: re.Pattern[str], expected: str) -> list[Entry]:
    rows: list[tuple[str, int, int, str]] = []
    for line, text in file.lines():
        if pattern is _PIPED and _HEADER.fullmatch(text):
            continue
        match = pattern.fullmatch(text)
        if match is None:
            raise file.wrong(line, f"expected is {expected}; it is {text!r:.80}")
        rows.append((match["photo"], int(match["number"]), line, match["caption"]))
    return group(file, ((line, photo, caption, "") for photo, _, line, caption in sorted(rows)))
