"""Imports point one way: the rooms of docs/architecture.md, proved by walking the syntax trees."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("captioner", "service", "training")
# Inside captioner each module imports only modules that stand before it here.
LIBRARY = (
    "errors", "ranges", "malloc", "cpus", "files", "types", "registry", "config", "formats", "images", "decoding",
    "tokenizers", "cells", "stack", "attention", "encoders", "decoders", "model", "calibration", "quantization",
    "checkpoint", "predictor",
    "heatmap", "activations", "commands", "__main__",
)  # fmt: skip
FORBIDDEN = {
    "captioner": {"service", "training", "flask", "waitress", "werkzeug", "pycocotools", "pycocoevalcap"},
    "service": {"training", "pycocotools", "pycocoevalcap"},
    "training": {"service", "flask", "waitress", "werkzeug"},
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


def room(path: Path) -> str:
    """Return the module or subpackage of the library that a file belongs to."""
    first = path.relative_to(ROOT / "captioner").parts[0]
    return first.removesuffix(".py")


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


def test_everything_can_be_imported_without_what_only_some_systems_have() -> None:
    code = WITHOUT_POSIX.format(missing=POSIX, packages=(*PACKAGES, "filelock"), ours=PACKAGES)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_every_module_of_the_library_has_a_place() -> None:
    assert {room(path) for path in sources("captioner")} == {*LIBRARY, "__init__"}


@pytest.mark.parametrize("path", sources("captioner"), ids=lambda path: str(path.relative_to(ROOT)))
def test_library_modules_import_only_those_before_them(path: Path) -> None:
    name = room(path)
    # The package itself names what it loads once it is asked for (tests/captioner/test_init.py).
    allowed = set(LIBRARY[: LIBRARY.index(name) + 1]) if name in LIBRARY else set(LIBRARY) - {"__main__"}
    used = {parts[1] for parts in (n.split(".") for n in imports(path)) if parts[0] == "captioner" and len(parts) > 1}
    assert used & set(LIBRARY) <= allowed, f"{name} imports {used - allowed}"


@pytest.mark.parametrize("path", sources("captioner/decoding"), ids=lambda path: str(path.relative_to(ROOT)))
def test_search_knows_only_types_ranges_and_errors(path: Path) -> None:
    used = {name for name in imports(path) if name.startswith("captioner.")}
    assert {name.split(".")[1] for name in used} <= {"types", "ranges", "errors", "decoding"}


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
