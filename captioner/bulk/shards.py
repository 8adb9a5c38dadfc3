"""The rows of photos, and the shards that hold them: JSON lines or Parquet."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from captioner.bulk import parquet
from captioner.bulk.inputs import PhotoRef
from captioner.types import Caption

FORMATS = ("jsonl", "parquet")
ATTENTION_DIGITS = 6
Row = dict[str, Any]


def row_of(photo: PhotoRef, found: Caption | str, *, attention: bool) -> Row:
    """Return the row of a photo.

    Args:
        photo: Which.
        found: Its caption, or why it has none.
        attention: Whether the row shall hold where the model looked, ``[T, rows, cols]``.
    """
    caption = found if isinstance(found, Caption) else None
    row = {
        "path": _text(photo.path),
        "member": None if photo.member is None else _text(photo.member),
        "error": found if isinstance(found, str) else None,
        "caption": caption and caption.text,
        "log_prob": caption and caption.log_prob,
        "confidence": caption and caption.confidence,
        "needs_review": caption and caption.needs_review,
        "words": caption and [asdict(word) for word in caption.words],
    }
    return row | {"attention": _attention(caption)} if attention else row


def _text(name: str) -> str:
    r"""Return a name with bytes that are no Unicode written as ``\udcff``: Parquet has no other texts."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _attention(caption: Caption | None) -> Any:
    if caption is None or caption.attention is None:
        return None
    return np.round(caption.attention.astype(np.float64), ATTENTION_DIGITS).tolist()


def write_shard(path: Path, rows: Sequence[Row], form: str, *, attention: bool) -> None:
    """Write rows in a form of :data:`FORMATS`."""
    if form == "parquet":
        parquet.write_rows(path, rows, attention=attention)
        return
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def count_rows(path: Path, form: str) -> tuple[int, int]:
    """Return how many rows a shard has, and how many of them hold an error."""
    if form == "parquet":
        return parquet.count_rows(path)
    with path.open(encoding="utf-8") as file:
        errors = [json.loads(line)["error"] is not None for line in file]
    return len(errors), sum(errors)
