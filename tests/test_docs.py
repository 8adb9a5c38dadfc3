"""Documentation that does not lie: its links lead somewhere and its commands exist."""

import re
import shlex
from dataclasses import asdict
from pathlib import Path

import pytest

from captioner.__main__ import _parser as captioner_parser
from service.adapters.hugging_face import NAMES
from service.heatmaps import DEFAULTS
from service.options import CAPTIONS, DECODING, HEATMAPS, SCORES
from service.settings import Settings
from service.settings import _parser as service_parser
from training.__main__ import parser as training_parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "service/static/samples/README.md"]
PARSERS = {"captioner": captioner_parser, "service": service_parser, "training": training_parser}


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> list[list[str]]:
    """Return the `python -m` commands of a page's code blocks, continued lines joined."""
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text(page), re.DOTALL)).replace("\\\n", " ")
    lines = (line.split("#")[0].strip().removeprefix("$ ") for line in blocks.splitlines())
    return [shlex.split(line) for line in lines if re.match(r"(\S*/)?python -m (captioner|service|training) ", line)]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", text(page)):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_parse(page: Path) -> None:
    for command in commands(page):
        arguments = [word for word in command[3:] if word not in {"[", "]"}]
        PARSERS[command[2]]().parse_args(arguments)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:captioner|service|training|tests|docs|benchmarks)/[\w./]*\w\.\w+)", text(page)):
        assert (ROOT / name).exists(), name


def test_recipes_and_make_targets_that_the_readme_names_exist() -> None:
    makefile = text(ROOT / "Makefile")
    for target in re.findall(r"`make (\w+)`|^make (\w+)", text(ROOT / "README.md"), re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target


def option_rows(section: str) -> dict[str, list[str]]:
    """Return the option table of one section of the HTTP documentation: name -> values, default and meaning."""
    [part] = [part for part in text(ROOT / "docs/http-api.md").split("\n## ") if part.startswith(section)]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in part.splitlines() if line[:3] == "| `"]
    return {name.strip("` "): [values, default.strip("`"), meaning] for name, values, default, meaning in rows}


def test_the_http_documentation_names_every_option_with_its_range_and_meaning() -> None:
    pictures = {name: kind for name, kind in HEATMAPS.items() if name not in DECODING}
    for section, table in (
        ("POST /v1/captions", CAPTIONS),
        ("POST /v1/scores", SCORES),
        ("POST /v1/heatmaps", pictures),
    ):
        documented = {name: (values, meaning) for name, (values, _, meaning) in option_rows(section).items()}
        expected = {
            name: ("`true`, `false`" if kind.schema["type"] == "boolean" else kind.range, kind.meaning)
            for name, kind in table.items()
        }
        assert documented == expected


def test_the_http_documentation_names_the_defaults() -> None:
    documented = {name: default for name, (_, default, _) in option_rows("POST /v1/captions").items()}
    words = {None: "by chance", "": "none"}
    for name, default in asdict(Settings().options()).items():
        assert documented[name] == words.get(default, f"{default:g}" if isinstance(default, float) else str(default))
    drawn = {name: default for name, (_, default, _) in option_rows("POST /v1/heatmaps").items()}
    assert drawn == {name: f"{default:g}" for name, default in DEFAULTS.items()} | {"word": "none"}


def test_the_documentation_names_hugging_face_s_parameters() -> None:
    page = text(ROOT / "docs/compatibility.md")
    assert all(f"`{name}`" in page and f"`{ours}`" in page for name, ours in NAMES.items())
