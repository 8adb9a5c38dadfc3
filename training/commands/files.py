"""Files that commands write."""

from argparse import ArgumentTypeError
from pathlib import Path


def png_file(text: str) -> Path:
    """Return the path of a drawing, for a parser.

    Raises:
        ArgumentTypeError: If its name does not end with ``.png``, or its folder does not exist.
    """
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise ArgumentTypeError(f"{text}: the name must end with .png")
    if not path.parent.is_dir():
        raise ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    return path
