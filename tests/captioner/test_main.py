import os
import subprocess
import sys
import tomllib
from argparse import ArgumentParser, Namespace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from captioner import __main__ as program
from captioner import __version__
from captioner.__main__ import COMMANDS, PROGRAMS, main
from training.__main__ import main as training_main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["caption"],
        ["caption", "a.jpg", "--beam-size", "many"],
        ["score", "a.jpg"],
        ["score", "a.jpg", "a dog", "--words", "--json"],
        ["units", "a.jpg"],
        ["inspect", "a", "b"],
    ],
)
def test_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # as wide as the terminal is said to be
    with pytest.raises(SystemExit) as raised:
        main([command, "--help"])
    assert raised.value.code == 0
    found = capsys.readouterr().out
    assert f"usage: captioner {command}" in found
    assert max(map(len, found.splitlines())) <= 112


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--version"])
    assert raised.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.slow
def test_a_closed_pipe_is_no_drama(small_checkpoint_file: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # as when the output goes to a program that has ended
    command = [sys.executable, "-m", "captioner", "inspect", str(small_checkpoint_file)]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}  # so that something is left to write at the very end
    found = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, cwd=ROOT, env=buffered)
    os.close(writer)
    assert (found.returncode, found.stderr) == (141, b"")


ENTRIES = [("serve", "service.__main__"), ("train", "training.__main__")]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry points, whatever of this project is installed where the tests run."""
    offer(monkeypatch, ENTRIES)


def offer(monkeypatch: pytest.MonkeyPatch, entries: list[tuple[str, str]]) -> None:
    points = EntryPoints(EntryPoint(name, value, program.GROUP) for name, value in entries)
    monkeypatch.setattr(program, "entry_points", points.select)


def helped(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as raised:
        main([*arguments, "--help"])
    assert raised.value.code == 0
    return capsys.readouterr().out


def test_the_entry_points_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"captioner": "captioner.__main__:main"}
    assert project["entry-points"][program.GROUP] == dict(ENTRIES)
    assert list(PROGRAMS) == [name for name, _ in ENTRIES]


@pytest.mark.parametrize("words", [("serve",), ("train",), ("train", "fit"), ("train", "fit-concepts")])
def test_usage_names_the_whole_command(
    words: tuple[str, ...], installed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert helped(capsys, *words).startswith(f"usage: captioner {' '.join(words)} ")


def test_train_fails_as_python_m_training_does(installed: None, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--annotations", "nowhere.json", "--images", ".", "--beam-size", "99"]
    assert main(["train", *command]) == training_main(command) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == second
    assert "beam_size is 99" in first


def test_serve_reads_settings_as_python_m_service_does(
    installed: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPTIONER_MAX_BATCH", "many")
    assert main(["serve", "--port", "0"]) == 2
    assert "CAPTIONER_MAX_BATCH is 'many'" in capsys.readouterr().err


def test_a_command_that_is_not_installed_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, [])
    listed = helped(capsys)
    for name, (text, package) in PROGRAMS.items():
        assert text in listed
        assert main([name, "--help"]) == 1
        assert f"python -m {package}; pip install" in capsys.readouterr().err


class Wave:
    """A command of somebody else."""

    EPILOG = "Waves.\n"

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("--times", type=int)

    @staticmethod
    def run(arguments: Namespace) -> int:
        return int(arguments.times)


def test_other_packages_add_commands_but_replace_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, [(name, f"{__name__}:Wave") for name in ("wave", "inspect")])
    monkeypatch.setattr(EntryPoint, "load", lambda _: Wave)
    assert "wave" in helped(capsys)
    assert main(["wave", "--times", "3"]) == 3
    assert helped(capsys, "wave").endswith("Waves.\n")
    assert "FILE" in helped(capsys, "inspect")


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["serve", "--prot", "8000"], "--port"),
        (["caption", "a.jpg", "--beamsize=3"], "--beam-size"),
        (["train", "fit", "--recipe", "a.toml", "--sett", "b"], "--set"),
    ],
)
def test_a_mistyped_flag_is_told_with_the_nearest_in_a_few_lines(
    arguments: list[str], flag: str, installed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    errors = capsys.readouterr().err
    assert errors.endswith(f"did you mean {flag}?\n")
    assert len(errors.splitlines()) <= 10


@pytest.mark.parametrize("arguments", [[], ["train"]])
def test_without_a_command_there_is_a_list_of_them(
    arguments: list[str], installed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert "commands:" in capsys.readouterr().err


@pytest.mark.slow
def test_a_missing_dependency_of_training_is_told_with_what_installs_it() -> None:
    """Most of those who install Captioner have not installed what only training needs."""
    code = """
import sys
sys.modules.update(dict.fromkeys(["pycocotools", "pycocoevalcap", "matplotlib", "tensorboard", "filelock"]))
from training.__main__ import main
sys.exit(main(["fit", "--recipe", "nowhere.toml"]))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "which is not installed; pip install 'captioner[training]'" in line


HEAVY = (
    "torch",
    "torchvision",
    "flask",
    "numpy",
    "PIL",
    "pydantic",
    "captioner.commands.caption",
    "service",
    "training",
)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train"], ["train", "--help"], ["fly"]])
def test_nothing_heavy_is_imported_before_it_is_asked_for(arguments: list[str]) -> None:
    heavy = [name for name in HEAVY if name != "training" or arguments[0] != "train"]
    code = f"""
import sys
from importlib.metadata import EntryPoint, EntryPoints
from captioner import __main__ as program
points = EntryPoints(EntryPoint(name, value, program.GROUP) for name, value in {ENTRIES})
program.entry_points = points.select
try:
    program.main({arguments})
except SystemExit:
    print("loaded:", [name for name in {heavy} if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.endswith("loaded: []\n")
