"""The formats that files of captions may be in, by name."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from captioner.registry import Registry
from training.data.formats import coco, flickr, karpathy, lists, tables
from training.data.formats.annotations import AnnotationFile, Entry
from training.errors import DataError


@dataclass(frozen=True)
class Format:
    """A format of files of captions.

    Attributes:
        looks_like: What a file in it looks like, for messages.
        recognises: Whether a file seems to be in it.
        read: From a file to what it says of each photo.
        unlisted: From a file to its captions of photos that it does not list; most formats cannot have such.
    """

    looks_like: str
    recognises: Callable[[AnnotationFile], bool]
    read: Callable[[AnnotationFile], list[Entry]]
    unlisted: Callable[[AnnotationFile], list[str]] = lambda _: []


_OBJECTS = re.compile(r"\s*\[\s*\{")

# The first one that recognises a file reads it.
FORMATS: Registry[Format] = Registry(
    "caption format",
    {
        "coco": Format('a JSON object with "images" and "annotations"', coco.recognises, coco.read, coco.unlisted),
        "karpathy": Format(
            'a JSON object with "images" that have "filename", "split" and "sentences"',
            karpathy.recognises,
            karpathy.read,
        ),
        "json-list": Format('a JSON list of {"image": ..., "caption": ...}', lists.recognises, lists.read),
        "flickr-token": Format("lines NAME.jpg#0<TAB>caption", flickr.recognises_token, flickr.read_token),
        "flickr30k-csv": Format(
            "a header image_name| comment_number| comment", flickr.recognises_piped, flickr.read_piped
        ),
        "jsonl": Format('lines {"file": ..., "caption": ...}', tables.recognises_jsonl, tables.read_jsonl),
        "csv": Format("a header with file and caption", tables.recognises_csv, tables.read_csv),
    },
)


def read_entries(path: Path, name: str = "") -> list[Entry]:
    """Read a file of captions.

    Args:
        path: The file.
        name: Its format, a name in ``FORMATS``; empty recognises it by its content.

    Raises:
        ConfigError: If there is no format of that name.
        DataError: If the file is missing, in no known format, or wrong somewhere; the message names the place.
    """
    file = AnnotationFile(path)
    return _format(file, name).read(file)


def unlisted_captions(path: Path, name: str = "") -> list[str]:
    """Return the captions in a file whose photos it does not list; see :func:`read_entries`."""
    file = AnnotationFile(path)
    return _format(file, name).unlisted(file)


def _format(file: AnnotationFile, name: str) -> Format:
    if name:
        return FORMATS[name]
    if not file.text.strip():
        raise DataError(f"{file.path}: the file is empty")
    for known in FORMATS.values():
        if known.recognises(file):
            return known
    raise _unknown(file)


def _unknown(file: AnnotationFile) -> DataError:
    seen = f"the first line {file.first_line[:100]!r}"
    if file.json_keys:
        seen = f"a JSON object with the keys {', '.join(sorted(file.json_keys))}"
    elif _OBJECTS.match(file.text) or (
        file.text.lstrip().startswith("{") and not file.first_line.rstrip().endswith("}")
    ):
        try:
            _ = file.json
        except DataError as error:  # it starts as one JSON value over many lines: say where it breaks
            return error
    known = "\n".join(f"  {name}: {entry.looks_like}" for name, entry in FORMATS.items())
    return DataError(f"{file.path}: no known format of captions; it has {seen}. Known are:\n{known}")
