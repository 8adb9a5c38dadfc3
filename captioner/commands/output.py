"""What commands print: lines, complaints, and captions as JSON."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from captioner.images import DecodedPhoto
from captioner.types import Caption

DONE, FAILED = 0, 1  # exit status
ATTENTION_DIGITS, ACTIVATION_DIGITS = 6, 4  # decimals in JSON

# What would end a line or a column, or command a terminal, by its code point.
ESCAPES = MappingProxyType(
    {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
    | {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0x2028: "\\u2028", 0x2029: "\\u2029"}
)


def say(line: str) -> None:
    """Print a line, around a progress bar if there is one."""
    tqdm.write(line, file=sys.stdout)


def complain(message: str) -> None:
    """Print what went wrong."""
    tqdm.write(f"captioner: {message}", file=sys.stderr)


def warn(message: str) -> None:
    """Print what would otherwise be overlooked, and do harm."""
    tqdm.write(f"WARNING: {message}", file=sys.stderr)


def shown(path: object) -> str:
    r"""Return a path as text for one column of one line, whatever its name holds.

    Line feeds, tabs and other control characters, and bytes that are no Unicode, are written as ``\n``, ``\t``,
    ``\x1b``, ``\udcff``; and a backslash as two, where it is no separator.
    """
    text = str(path) if os.sep == "\\" else str(path).replace("\\", "\\\\")
    return escaped(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def escaped(text: str) -> str:
    """Return a text with its control characters written out, so that it stays in its column."""
    return text.translate(ESCAPES)


def json_line(path: object, photo: DecodedPhoto, captions: Sequence[Caption]) -> str:
    """Return a photo and captions of it as one line of JSON."""
    attention = captions[0].attention
    values = {
        "path": str(path),
        "image": {"width": photo.width, "height": photo.height, "format": photo.format},
        "captions": [caption_to_dict(caption) for caption in captions],
        "attention_grid": None if attention is None else attention.shape[1:],
    }
    return json.dumps(values)


def caption_to_dict(caption: Caption) -> dict[str, Any]:
    """Return a caption as JSON values."""
    maps, activations = caption.attention, caption.activations
    values = {
        "text": caption.text,
        "log_prob": caption.log_prob,
        "finished": caption.finished,
        "confidence": caption.confidence,
        "needs_review": caption.needs_review,
        "words": [asdict(word) for word in caption.words],
        "attention": None if maps is None else _rounded(maps, ATTENTION_DIGITS),
    }
    if activations is not None:
        values["activations"] = {name: _rounded(array, ACTIVATION_DIGITS) for name, array in activations.items()}
    return values


def _rounded(values: NDArray[np.float32], digits: int) -> Any:
    return np.round(values.astype(np.float64), digits).tolist()
