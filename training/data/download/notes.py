"""Small JSON files that say how far something is; never half written, and empty if they are not there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from captioner.files import write_whole


def read_note(path: Path) -> dict[str, Any]:
    """Return what a note says; nothing if it is missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def write_note(path: Path, values: Mapping[str, Any]) -> None:
    """Write a note in place of an older one."""
    write_whole(path, json.dumps(values, indent=0) + "\n")
