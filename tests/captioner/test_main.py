import os
import subprocess
import sys
from pathlib import Path

import pytest

from captioner import __version__
from captioner.__main__ import COMMANDS, main

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


def test_a_closed_pipe_is_no_drama(small_checkpoint_file: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # as when the output goes to a program that has ended
    command = [sys.executable, "-m", "captioner", "inspect", str(small_checkpoint_file)]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}  # so that something is left to write at the very end
    found = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, cwd=ROOT, env=buffered)
    os.close(writer)
    assert (found.returncode, found.stderr) == (141, b"")


def test_importing_the_package_is_light() -> None:
    code = "import sys, captioner; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
