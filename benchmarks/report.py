"""What a benchmark found, as a table for people and as JSON for programs, with the machine that it ran on."""

import json
import os
import platform
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from captioner.cpus import available_cpus
from captioner.files import write_whole

PACKAGES = ("captioner", "torch", "onnxruntime", "numpy", "pillow", "transformers")
CPUINFO = Path("/proc/cpuinfo")
Row = Mapping[str, Any]


def add_json_argument(parser: ArgumentParser) -> None:
    """Add the flag of the file that the numbers are written to."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file, too")


def machine() -> dict[str, Any]:
    """Return what figures depend on: the processor, its cores, how busy they are, and versions."""
    return {
        "processor": _processor(),
        "cores": available_cpus(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    """Return the name of the processor, as far as the system tells it."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def introduce(**further: Any) -> None:
    """Print what the figures below were measured on, and with what."""
    found = machine()
    told = {**found, "packages": ", ".join(f"{name} {number}" for name, number in found["packages"].items()), **further}
    print("; ".join(f"{name}: {value}" for name, value in told.items() if value is not None), end="\n\n", flush=True)


def cell(value: Any) -> str:
    """Return a value as a table shows it: numbers with about three digits that count."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(rows: Iterable[Row], titles: Mapping[str, str]) -> str:
    """Return rows as a Markdown table whose columns stand below each other.

    Args:
        rows: Values by key; a key that a row lacks leaves its cell empty.
        titles: What to show, in order: the heading of each key.
    """
    lines = [list(titles.values()), *([cell(row.get(key)) for key in titles] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    texts.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in texts)


def publish(name: str, rows: Sequence[Row], titles: Mapping[str, str], file: Path | None, **further: Any) -> None:
    """Print the table of a benchmark, and write everything to a file if there is one.

    Args:
        name: Of the benchmark.
        rows: What was found; what has no title is written alone.
        titles: The columns that are printed.
        file: Where the JSON goes.
        **further: What to write besides.
    """
    print(table(rows, titles), flush=True)
    write_json(file, name, rows, **further)


def write_json(file: Path | None, name: str, rows: Sequence[Row], **further: Any) -> None:
    """Write what a benchmark found, with the machine that it ran on; nothing without a file."""
    if file is not None:
        content = {"benchmark": name, "machine": machine(), **further, "rows": list(rows)}
        write_whole(file, (json.dumps(content, indent=1) + "\n").encode())
