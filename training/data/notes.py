"""Small JSON files that say how far something is; never half written, and empty if they are not there."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_note(path: Path) -> dict[str, Any]:
    """Return what a note says; nothing if it is missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def write_note(path: Path, values: Mapping[str, Any]) -> None:
    """Write a note in place of an older one."""
    partial = path.with_name(f"{path.name}.new")
    partial.write_text(json.dumps(values, indent=0) + "\n", encoding="utf-8")
    os.replace(partial, path)
