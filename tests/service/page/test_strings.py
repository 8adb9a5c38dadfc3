"""The texts of the page: one table per language, each with the same rows, all of which are used."""

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from service.web.pages import LANGUAGES, read_strings

STATIC = Path(__file__).parents[3] / "service" / "static"
MARKUP = (STATIC / "index.html").read_text(encoding="utf-8")
SCRIPTS = "\n".join(path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.js")))
MADE_UP = ("place_", "state_", "problem_", "sample_", "search_", "normalised_", "raw_")  # keys that are put together


def test_both_languages_have_the_same_rows() -> None:
    english, korean = (read_strings(language) for language in LANGUAGES)
    assert list(english) == list(korean)
    for key in english:
        assert all(text.strip() for text in (english[key], korean[key])), key
        holes = [set(re.findall(r"\{\w+\}", text)) for text in (english[key], korean[key])]
        assert holes[0] == holes[1], key


def test_korean_is_korean() -> None:
    for key, text in read_strings("ko").items():
        if not key.endswith("_example"):  # what visitors write is English, as the model's vocabulary is
            assert re.search("[가-힣]", re.sub(r"\{\w+\}", "", text)) or text.startswith("“{"), key


def test_every_row_that_the_page_names_exists() -> None:
    rows = read_strings("en")
    named = set(re.findall(r'data-(?:text|label|alt)="(\w+)"', MARKUP)) | set(re.findall(r"text\.(\w+)", MARKUP))
    assert named <= set(rows)
    for key in re.findall(r'\bt\("(\w+)"', SCRIPTS):
        assert key in rows, key


def test_every_row_is_used() -> None:
    mentioned = set(re.findall(r"\w+", MARKUP)) | set(re.findall(r"\w+", SCRIPTS))
    unused = [key for key in read_strings("en") if key not in mentioned and not key.startswith(MADE_UP)]
    assert unused == []
    kinds = {key.removeprefix("problem_").removesuffix("_title") for key in read_strings("en") if key[:8] == "problem_"}
    for kind in kinds:
        assert re.search(rf'"{kind}"', SCRIPTS), kind
        assert f"problem_{kind}_title" in read_strings("en"), kind


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("ko-KR,ko;q=0.9,en;q=0.8", "ko"), ("ko", "ko"), ("en-GB", "en"), ("de,en;q=0.5", "en"), ("de", "en"), ("", "en")],
)
def test_the_page_comes_in_the_language_that_is_asked_for(client: FlaskClient, accepted: str, language: str) -> None:
    answer = client.get("/", headers={"Accept-Language": accepted})
    assert answer.headers["Content-Language"] == language
    assert "Accept-Language" in answer.headers["Vary"]
    assert f'<html lang="{language}">' in answer.text
    assert read_strings(language)["headline"] in answer.text
