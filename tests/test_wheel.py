"""What users install: the wheel, in an environment of its own, has all files, and its programs start anywhere."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
PACKAGES = ("captioner", "service", "training")
SOURCES = ("pyproject.toml", "requirements-serve.txt", "README.md", "LICENSE")
PROGRAMS = [
    ("captioner", "usage: captioner ["),
    ("captioner serve", "usage: captioner serve "),
    ("captioner train", "usage: captioner train ["),
    ("captioner train fit-concepts", "usage: captioner train fit-concepts "),
    ("python -m captioner", "usage: captioner ["),
    ("python -m service", "usage: python -m service "),
    ("python -m training", "usage: python -m training ["),
]


def run(*command: str | Path, folder: Path) -> str:
    """Run a command where no checkout is to be found, and return what it says; it must succeed."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that no older build in the checkout can lend it a file."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.partial"))
    for name in SOURCES:
        shutil.copy(ROOT / name, tree)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run(*pip, "--wheel-dir", str(folder), str(tree), folder=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a fresh environment, which finds the dependencies in this one; return its programs."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(home)
    base = {"base": str(home), "platbase": str(home)}
    python = Path(sysconfig.get_path("scripts", "venv", vars=base)) / Path(sys.executable).name
    (Path(sysconfig.get_path("purelib", "venv", vars=base)) / "dependencies.pth").write_text(
        sysconfig.get_path("purelib")
    )
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    # The dependencies may hold this project, too, installed in editable mode: that is not to be replaced.
    run(*pip, "--ignore-installed", str(wheel), folder=home)
    return python.parent


def test_the_wheel_has_every_file(wheel: Path) -> None:
    tree = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".partial"
    }
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == tree


def test_the_installed_files_are_the_wheels(programs: Path, tmp_path: Path) -> None:
    code = "import captioner, service, training; print(captioner.__file__, service.__file__, training.__file__)"
    files = run(programs / "python", "-c", code, folder=tmp_path).split()
    assert all(file.startswith(str(programs.parent)) for file in files), files


@pytest.mark.parametrize(("program", "usage"), PROGRAMS, ids=[program for program, _ in PROGRAMS])
def test_every_program_explains_itself_from_any_folder(
    program: str, usage: str, programs: Path, tmp_path: Path
) -> None:
    name, *arguments = program.split()
    assert run(programs / name, *arguments, "--help", folder=tmp_path).startswith(usage)
