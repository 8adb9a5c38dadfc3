"""Downloads end with the right bytes, or with a clear error and nothing under the final name."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.download.download import ATTEMPTS, Download
from training.data.download.remote import RemoteFile
from training.errors import DataError

CONTENT = np.random.default_rng(0).bytes(5000)
OTHER = np.random.default_rng(1).bytes(5000)
PATH = "/zips/data.zip"


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Try:
    """One download from the scripted server, waiting for nothing."""

    def __init__(self, server: Any, folder: Path, *answers: Any, **known: Any) -> None:
        server.answers[PATH] = list(answers)
        file = replace(RemoteFile(server.url + PATH, len(CONTENT), md5(CONTENT)), **known)
        self.waits: list[float] = []
        self.folder = folder
        self.download = Download(file, folder, self.waits.append, timeout=5)

    def run(self) -> bytes:
        return self.download.run().read_bytes()

    def fails(self, match: str) -> None:
        with pytest.raises(DataError, match=match):
            self.download.run()
        assert not (self.folder / "data.zip").exists()
        assert not (self.folder / "data.zip.json").exists()


def starts(server: Any) -> list[int]:
    return [start for _, start in server.asked]


def test_a_file_comes_whole_and_is_not_fetched_again(server: Any, answer: Any, tmp_path: Path) -> None:
    attempt = Try(server, tmp_path, answer(CONTENT))
    assert attempt.run() == CONTENT
    assert attempt.run() == CONTENT
    assert starts(server) == [0]
    assert attempt.waits == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.zip", "data.zip.json"]
    assert json.loads((tmp_path / "data.zip.json").read_text())["sha256"] == hashlib.sha256(CONTENT).hexdigest()


def test_dropped_connections_are_taken_up_where_they_broke(server: Any, answer: Any, tmp_path: Path) -> None:
    attempt = Try(server, tmp_path, *[answer(CONTENT, drop_after=900)] * 9)
    assert attempt.run() == CONTENT
    assert starts(server) == [0, 900, 1800, 2700, 3600, 4500]
    assert attempt.waits == [1.0] * 5


def test_another_process_goes_on_with_what_is_there(server: Any, answer: Any, tmp_path: Path) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    first = Try(server, tmp_path, answer(CONTENT, drop_after=4000), answer(CONTENT))
    first.download.pause = stop
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert not (tmp_path / "data.zip").exists()
    assert Try(server, tmp_path, answer(CONTENT)).run() == CONTENT
    assert starts(server) == [0, 4000]


def test_all_bytes_that_are_there_are_not_asked_for_again(server: Any, answer: Any, tmp_path: Path) -> None:
    attempt = Try(server, tmp_path, answer(CONTENT))
    attempt.download._bring()
    assert Try(server, tmp_path, answer(b"", status=404)).run() == CONTENT


@pytest.mark.parametrize("ignores", [False, True])
def test_a_changed_file_starts_again(server: Any, answer: Any, tmp_path: Path, ignores: bool) -> None:
    """Whether the server heeds If-Range, or serves a part of the new file and only its ETag gives it away."""
    changed = answer(CONTENT, etag='"2"', ignores_if_range=ignores)
    attempt = Try(server, tmp_path, answer(OTHER, drop_after=2000), changed)
    assert attempt.run() == CONTENT
    assert starts(server) == ([0, 2000, 0] if ignores else [0, 2000])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"etag": ""}, {"etag": ""}),  # nothing names the version
        ({"etag": 'W/"1"'}, {"etag": 'W/"1"'}),  # a weak name is none
        ({}, {"ranges": False}),
        ({}, {"shift": -500}),
        ({}, {"shift": 500}),
    ],
)
def test_what_cannot_be_resumed_starts_again(
    server: Any, answer: Any, tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    answers = [answer(CONTENT, drop_after=3000, **first), answer(CONTENT, **second), answer(CONTENT)]
    assert Try(server, tmp_path, *answers).run() == CONTENT


def test_parts_that_do_not_fit_are_noticed_by_the_checksum(
    server: Any, answer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    liar = answer(CONTENT + CONTENT[:9], drop_after=2000)
    answers = [liar, answer(CONTENT + CONTENT[:9], lie=-7, drop_after=3009), answer(CONTENT)]
    attempt = Try(server, tmp_path, *answers, size=0)
    assert attempt.run() == CONTENT
    assert "downloading it again from its beginning" in capsys.readouterr().err


def test_a_version_without_a_name_but_changed_is_noticed(server: Any, answer: Any, tmp_path: Path) -> None:
    """The file changes under the same ETag: only its checksum tells."""
    answers = [answer(OTHER, drop_after=2000), answer(CONTENT), answer(CONTENT)]
    assert Try(server, tmp_path, *answers).run() == CONTENT
    assert starts(server) == [0, 2000, 0]


def test_a_wrong_file_is_refused(server: Any, answer: Any, tmp_path: Path) -> None:
    Try(server, tmp_path, answer(OTHER)).fails(f"its MD5 is {md5(OTHER)}, not {md5(CONTENT)}, twice; nothing was kept")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_size_is_refused_before_it_is_fetched(server: Any, answer: Any, tmp_path: Path) -> None:
    Try(server, tmp_path, answer(CONTENT[:-1])).fails("the server has 4999 bytes; the file should have 5000")
    assert starts(server) == [0]


def test_a_wrong_size_that_is_not_announced_is_refused(server: Any, answer: Any, tmp_path: Path) -> None:
    Try(server, tmp_path, answer(CONTENT[:-1], length=0)).fails("it has 4999 bytes, not 5000, twice")


def test_a_size_that_is_promised_and_not_kept_is_given_up(server: Any, answer: Any, tmp_path: Path) -> None:
    attempt = Try(server, tmp_path, answer(CONTENT[:4000], length=5000, ranges=False))
    attempt.fails(
        r"given up after 8 attempts that brought nothing new \(the connection ended after 4000 of 5000 bytes\)"
    )
    assert len(server.asked) == ATTEMPTS + 1


def test_nothing_but_broken_connections_is_given_up(server: Any, answer: Any, tmp_path: Path) -> None:
    """Also when a server loses everything each time: to start again for ever is not progress."""
    attempt = Try(server, tmp_path, *[answer(CONTENT, drop_after=2000, shift=1)] * 99)
    attempt.fails("given up after 8 attempts")
    assert attempt.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_file_that_is_not_there_is_an_error_at_once(server: Any, answer: Any, tmp_path: Path, status: int) -> None:
    Try(server, tmp_path, answer(b"", status=status)).fails(f"{PATH}: the server answered {status}")
    assert len(server.asked) == 1


def test_passing_errors_pass(server: Any, answer: Any, tmp_path: Path) -> None:
    answers = [
        answer(b"", status=503),
        answer(b"", status=429),
        answer(CONTENT, drop_after=1000),
        answer(b"", status=500),
    ]
    attempt = Try(server, tmp_path, *answers, answer(CONTENT))
    assert attempt.run() == CONTENT
    assert attempt.waits == [2.0, 4.0, 1.0, 2.0]


def test_a_part_that_is_longer_than_the_file_starts_again(server: Any, answer: Any, tmp_path: Path) -> None:
    (tmp_path / "data.zip.partial").write_bytes(OTHER + OTHER)
    (tmp_path / "data.zip.partial.json").write_text('{"validator": "\\"1\\"", "total": 10001}')
    assert Try(server, tmp_path, answer(CONTENT)).run() == CONTENT
    assert starts(server) == [10000, 0]


def test_no_server_is_given_up(server: Any, answer: Any, tmp_path: Path) -> None:
    attempt = Try(server, tmp_path, answer(CONTENT))
    attempt.download.file = replace(attempt.download.file, url="http://127.0.0.1:9/zips/data.zip")
    attempt.fails(r"given up after 8 attempts that brought nothing new \(no connection \(.*refused")


@pytest.mark.parametrize("known", [{}, {"md5": ""}])
def test_a_file_that_was_damaged_later_is_fetched_again(
    server: Any, answer: Any, make_zip: Callable[..., bytes], tmp_path: Path, known: dict[str, str]
) -> None:
    content = make_zip({"a": b"x" * 900})
    attempt = Try(server, tmp_path, answer(content), **{"size": len(content), "md5": md5(content), **known})
    attempt.run()
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    (tmp_path / "data.zip").write_bytes(damaged)
    assert attempt.run() == content
    assert starts(server) == [0, 0]


def test_without_a_known_checksum_those_of_the_zip_tell(
    server: Any, answer: Any, make_zip: Callable[..., bytes], tmp_path: Path
) -> None:
    content = make_zip({"a.txt": b"x" * 900})
    damaged = content.replace(b"xxx", b"xyx", 1)
    assert Try(server, tmp_path, answer(damaged), answer(content), size=0, md5="").run() == content
    (tmp_path / "data.zip").unlink()
    (tmp_path / "data.zip.json").unlink()
    Try(server, tmp_path, answer(damaged), size=0, md5="").fails("a.txt in it is damaged, twice")
    Try(server, tmp_path, answer(b"<html>", length=0), size=0, md5="").fails("no whole zip file .*, twice")


def test_a_file_that_was_put_there_by_hand_is_verified(server: Any, answer: Any, tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(CONTENT)
    assert Try(server, tmp_path, answer(b"", status=404)).run() == CONTENT
    assert (tmp_path / "data.zip.json").exists()
    (tmp_path / "data.zip.json").unlink()
    (tmp_path / "data.zip").write_bytes(OTHER)
    Try(server, tmp_path, answer(b"", status=404)).fails("404")
