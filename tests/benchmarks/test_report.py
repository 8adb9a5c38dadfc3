"""Tables for people and JSON for programs."""

import json
from pathlib import Path

import pytest

from benchmarks.report import Row, cell, machine, publish, table

TITLES = {"name": "what", "ms": "ms"}
ROWS: list[Row] = [{"name": "encode", "ms": 24.04, "more": 1}, {"name": "read"}]


def test_a_table_shows_the_columns_that_have_titles() -> None:
    assert table(ROWS, TITLES).splitlines() == [
        "| what   | ms   |",
        "| ------ | ---- |",
        "| encode | 24.0 |",
        "| read   |      |",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.5, "1234"),
        (99.96, "100.0"),
        (12.34, "12.3"),
        (0.0456, "0.05"),
        (7, "7"),
        (None, ""),
        ("a", "a"),
        (True, "True"),
    ],
)
def test_numbers_are_shown_with_the_digits_that_count(value: object, text: str) -> None:
    assert cell(value) == text


def test_everything_is_written_with_the_machine_it_ran_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.json"
    publish("stages", ROWS, TITLES, file, model="small 7")
    written = json.loads(file.read_text())
    assert written["benchmark"] == "stages"
    assert written["rows"] == ROWS
    assert written["model"] == "small 7"
    assert written["machine"]["cores"] == machine()["cores"] >= 1
    assert {"torch", "numpy", "pillow"} <= set(written["machine"]["packages"])
    assert capsys.readouterr().out == table(ROWS, TITLES) + "\n"


def test_without_a_file_none_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    publish("stages", ROWS, TITLES, None)
    assert list(tmp_path.iterdir()) == []
