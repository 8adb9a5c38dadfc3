"""Install into a fresh environment, time it, and weigh what lies there afterwards.

Every requirement gets an environment of its own, by the Python that runs this. pip takes packages from wherever it
is set up to; with --no-cache it fetches all of them anew, so that the time is that of a first installation.
"""

import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import add_json_argument, introduce, publish
from benchmarks.service.program import ROOT
from benchmarks.timing import seconds_of
from captioner.errors import OptionError

EPILOG = __doc__
MEGABYTE = 10**6
LARGEST = 6  # entries that are named
TITLES = {
    "name": "installed",
    "seconds": "seconds",
    "megabytes": "MB",
    "files": "files",
    "largest": "the largest of it, MB",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "requirements",
        nargs="*",
        default=[str(ROOT)],
        metavar="REQUIREMENT",
        help="what pip installs, such as . or '.[training]' (default: this checkout)",
    )
    parser.add_argument("--no-cache", action="store_true", help="let pip fetch everything anew")
    add_json_argument(parser)


def run(arguments: Namespace) -> int:
    """Install each requirement, and print the table."""
    introduce()
    rows = [installed(requirement, arguments.no_cache) for requirement in arguments.requirements]
    publish("install", rows, TITLES, arguments.json)
    return 0


def installed(requirement: str, no_cache: bool) -> dict[str, Any]:
    """Install a requirement into an environment that lasts no longer; return what it took and what it weighs.

    Raises:
        OptionError: If it cannot be installed.
    """
    with tempfile.TemporaryDirectory(prefix="install-") as folder:
        _call([sys.executable, "-m", "venv", folder])
        python = (
            next(Path(folder).glob("bin/python")) if sys.platform != "win32" else Path(folder, "Scripts/python.exe")
        )
        flags = ["--no-cache-dir"] if no_cache else []
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *flags, requirement]
        seconds = seconds_of(lambda: _call(command))
        sizes = weigh(Path(folder))
    heaviest = sorted(sizes.items(), key=lambda entry: entry[1][0], reverse=True)[:LARGEST]
    return {
        "name": requirement,
        "seconds": seconds,
        "megabytes": sum(size for size, _ in sizes.values()) / MEGABYTE,
        "files": sum(count for _, count in sizes.values()),
        "largest": ", ".join(f"{name} {size / MEGABYTE:.0f}" for name, (size, _) in heaviest),
    }


def weigh(environment: Path) -> dict[str, tuple[int, int]]:
    """Return the bytes and the number of files of each package of an environment, by the name of its folder.

    What lies outside of site-packages counts under its first folder, such as ``bin``; links weigh nothing.
    """
    packages = next(environment.glob("**/site-packages"))
    sizes: dict[str, tuple[int, int]] = {}
    for file in environment.rglob("*"):
        if file.is_file() and not file.is_symlink():
            base = packages if packages in file.parents else environment
            name = file.relative_to(base).parts[0]
            size, count = sizes.get(name, (0, 0))
            sizes[name] = size + file.stat().st_size, count + 1
    return sizes


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode:
        raise OptionError(f"{' '.join(command)} failed: {done.stderr[-500:]}")
