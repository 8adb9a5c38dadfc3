"""Imports point one way: the rooms of docs/architecture.md, proved by walking the syntax trees."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("captioner", "service", "training")
# Inside a package each module imports only modules that stand before it here. A folder is one room, but for the parts
# of it that stand elsewhere under a name of their own.
ORDER = {
    "captioner": (
        "errors", "ranges", "malloc", "cpus", "devices", "files", "types", "registry", "config", "formats", "images",
        "clips",
        "decoding", "tokenizers", "calibration", "class_words", "header", "cells", "stack", "attention", "encoders",
        "decoders", "model", "quantization", "runtimes", "checkpoint", "runtimes.export", "answers", "loading",
        "predictor", "bulk", "metadata", "alt", "index", "heatmap", "activations", "commands", "__main__",
    ),
    "service": (
        "prefix", "keys", "concurrency", "errors", "settings", "corrections", "observability", "inference", "buffering",
        "web", "app", "server", "lifecycle", "__main__",
    ),
    "training": (
        "errors", "gradients", "data", "inputs", "evaluation", "data.check", "initial.batch_norms",
        "initial.pretrained", "distillation", "phase", "recipe_file", "recipe_keys",
        "recipe", "losses", "language.model", "initial", "runs", "language", "captioning", "growing", "concepts",
        "questions", "answers", "runs.start", "stages", "commands", "__main__",
    ),
}  # fmt: skip
FORBIDDEN = {
    "captioner": {"service", "training", "flask", "waitress", "werkzeug", "pycocotools", "pycocoevalcap"},
    "service": {"training", "pycocotools", "pycocoevalcap"},
    "training": {"service", "flask", "waitress", "werkzeug"},
}
# What a folder of a package must not know, as dotted names: threads belong to the room that runs them, HTTP to web.
UNKNOWN = {
    "service/inference": {"flask", "werkzeug", "waitress", "service.web"},
    "service/web": {"threading", "concurrent", "queue", "multiprocessing", "asyncio"},
}
# Modules of the standard library that Windows does not have.
POSIX = (
    "crypt", "curses", "fcntl", "grp", "nis", "posix", "pty", "pwd", "readline", "resource", "spwd", "syslog",
    "termios", "tty",
)  # fmt: skip


def imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports, those of `from a import b` as both `a` and `a.b`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def room(package: str, name: str) -> str | None:
    """Return the room of a package that a dotted name is in, the innermost one; ``None`` if it is in none."""
    parts = name.split(".")[1:]
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((found for found in names if found in ORDER[package]), None)


def dotted(path: Path) -> str:
    """Return the name by which a file is imported; that of a package's ``__init__`` is the package's."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


ORDERED = [path for package in ORDER for path in sources(package) if dotted(path) != package]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_keep_to_their_side(package: str) -> None:
    for path in sources(package):
        crossing = {name.split(".")[0] for name in imports(path)} & FORBIDDEN[package]
        assert not crossing, f"{path.relative_to(ROOT)} imports {crossing}"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_imported_that_only_some_systems_have(package: str) -> None:
    for path in sources(package):
        lacking = {name.split(".")[0] for name in imports(path)} & set(POSIX)
        assert not lacking, f"{path.relative_to(ROOT)} imports {lacking}, which Windows does not have"


# Whoever else imports them knows what to do without; torch's own modules are left alone.
WITHOUT_POSIX = """
import builtins, importlib, pkgutil, sys
kept = builtins.__import__
def windows(name, globals=None, *arguments, **options):
    package = ((globals or {{}}).get("__name__") or "").split(".")[0]
    if name in {missing} and package in {packages}:
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return kept(name, globals, *arguments, **options)
builtins.__import__ = windows
for package in {ours}:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        importlib.import_module(module.name)
"""


@pytest.mark.slow
def test_everything_can_be_imported_without_what_only_some_systems_have() -> None:
    code = WITHOUT_POSIX.format(missing=POSIX, packages=(*PACKAGES, "filelock"), ours=PACKAGES)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ORDER)
def test_every_module_has_a_room_and_every_room_a_module(package: str) -> None:
    found = [room(package, dotted(path)) for path in sources(package) if dotted(path) != package]
    assert None not in found
    assert set(found) == set(ORDER[package])


@pytest.mark.parametrize("path", ORDERED, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_import_only_those_before_them(path: Path) -> None:
    package, *_ = path.relative_to(ROOT).parts
    order, own = ORDER[package], room(package, dotted(path))
    assert own is not None
    used = {room(package, name) for name in imports(path) if name.startswith(f"{package}.")}
    above = used - {None, *order[: order.index(own) + 1]}
    assert not above, f"{own} imports {above}"


@pytest.mark.parametrize("folder", UNKNOWN)
def test_folders_do_not_know_what_is_none_of_their_business(folder: str) -> None:
    for path in sources(folder):
        known = {name for name in imports(path) for other in UNKNOWN[folder] if f"{name}.".startswith(f"{other}.")}
        assert not known, f"{path.relative_to(ROOT)} imports {known}"


@pytest.mark.parametrize("path", sources("captioner/decoding"), ids=lambda path: str(path.relative_to(ROOT)))
def test_search_knows_only_types_ranges_and_errors(path: Path) -> None:
    used = {name for name in imports(path) if name.startswith("captioner.")}
    assert {name.split(".")[1] for name in used} <= {"types", "errors", "ranges", "decoding"}


def test_nothing_is_ever_unpickled() -> None:
    for package in PACKAGES:
        for path in sources(package):
            assert not imports(path) & {"pickle", "dill", "joblib", "cloudpickle"}, path
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                    assert keywords.get("weights_only") == "True", path


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_fit_on_a_screen(package: str) -> None:
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= 50, f"{path.relative_to(ROOT)}: {node.name} has {lines} lines"
