"""Where an index is unless it is named: with what programs keep for a user."""

import os
import sys
from pathlib import Path


def default_index() -> Path:
    """Return the user's own index: below ``XDG_DATA_HOME``, or where the system wants such files."""
    given = os.environ.get("XDG_DATA_HOME")
    if given:
        folder = Path(given)
    elif os.name == "nt":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home())
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        folder = Path.home() / ".local" / "share"
    return folder / "captioner" / "photos.sqlite"
