"""Files that commands write."""

from argparse import ArgumentTypeError
from pathlib import Path
from tempfile import TemporaryFile


def png_file(text: str) -> Path:
    """Return the path of a drawing, for a parser.

    Raises:
        ArgumentTypeError: If its name does not end with ``.png``, or its folder does not exist.
    """
    return _file(text, ".png")


def json_file(text: str) -> Path:
    """Return the path of a file of results, for a parser.

    Raises:
        ArgumentTypeError: If its name does not end with ``.json``, or its folder does not exist.
    """
    return _file(text, ".json")


def _file(text: str, ending: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ending:
        raise ArgumentTypeError(f"{text}: the name must end with {ending}")
    if not path.parent.is_dir():
        raise ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    if path.is_dir():
        raise ArgumentTypeError(f"{text}: it is a folder")
    try:
        with TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        raise ArgumentTypeError(f"{text}: nothing can be written there: {error.strerror}") from None
