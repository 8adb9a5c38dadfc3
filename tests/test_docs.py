"""Documentation that does not lie: its links lead somewhere and its commands exist."""

import re
import shlex
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.__main__ import parser as benchmarks_parser
from captioner.__main__ import PROGRAMS
from captioner.__main__ import _parser as captioner_parser
from captioner.predictor import CaptionPredictor
from service.settings import Settings
from service.settings import _parser as service_parser
from service.web.adapters import ollama
from service.web.adapters.hugging_face import NAMES
from service.web.adapters.openai import chat_completions, responses
from service.web.adapters.prompting import DETERMINISTIC
from service.web.heatmaps import DEFAULTS
from service.web.parameters import CAPTIONS, CLIP_DEFAULTS, CLIPS, CORRECTIONS, DECODING, HEATMAPS, QUESTIONS, SCORES
from training.__main__ import parser as training_parser

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "service/static/samples/README.md",
]
PARSERS = {
    "captioner": captioner_parser,
    "service": service_parser,
    "training": training_parser,
    "benchmarks": benchmarks_parser,
}


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> list[list[str]]:
    """Return the commands of a page's code blocks as package and arguments, continued lines joined."""
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text(page), re.DOTALL)).replace("\\\n", " ")
    lines = (line.split("#")[0].strip().removeprefix("$ ") for line in blocks.splitlines())
    found = []
    for line in lines:
        if match := re.match(
            r"(?:.*\| *)?(?:\S*/)?(?:python -m (captioner|service|training|benchmarks)|captioner) (.*)", line
        ):
            package, arguments = match[1] or "captioner", shlex.split(re.split(" [<|] ", match[2])[0])
            if package == "captioner" and arguments[0] in PROGRAMS:
                package = PROGRAMS[arguments.pop(0)][1]
            found.append([package, *arguments])
    return found


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", text(page)):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page are called in links to them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text(page), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_to_headings_lead_to_them(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text(page)):
        assert anchor in anchors(page.parent / target if target else page), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_parse(page: Path) -> None:
    for package, *arguments in commands(page):
        PARSERS[package]().parse_args([word for word in arguments if word not in {"[", "]"}])


def test_the_readme_s_commands_are_found() -> None:
    assert {"captioner", "service", "training"} <= {package for package, *_ in commands(ROOT / "README.md")}


@pytest.fixture(scope="module")
def units() -> dict[str, int]:
    """How many units there are of each name in the shipped model."""
    score = CaptionPredictor.from_checkpoint().score(Image.new("RGB", (32, 32)), "a dog", activations=True)
    return {name: values.shape[1] for name, values in (score.activations or {}).items()}


@pytest.mark.parametrize("name", ["README.md", "docs/http-api.md"])
def test_units_that_are_named_are_those_of_the_shipped_model(name: str, units: dict[str, int]) -> None:
    gates = {unit.rpartition(".")[2] for unit in units}
    named = re.findall(rf"\b((?:\w+\.)*\w+\.\d+\.(?:{'|'.join(gates)}))(?::(\d+))?", text(ROOT / name))
    assert named
    for unit, index in named:
        assert int(index or 0) < units.get(unit, 0), f"{unit}:{index}; there are {', '.join(units)}"


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
    clips = {name: kind for name, kind in CLIPS.items() if name not in DECODING}
    for section, table in (
        ("POST /v1/captions", CAPTIONS),
        ("POST /v1/scores", SCORES),
        ("POST /v1/answers", QUESTIONS),
        ("POST /v1/corrections", CORRECTIONS),
        ("POST /v1/clips", clips),
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
    watched = {name: default for name, (_, default, _) in option_rows("POST /v1/clips").items()}
    assert watched == {name: str(default) for name, default in CLIP_DEFAULTS.items()}
    drawn = {name: default for name, (_, default, _) in option_rows("POST /v1/heatmaps").items()}
    assert drawn == {name: f"{default:g}" for name, default in DEFAULTS.items()} | {"word": "none"}


def test_the_documentation_names_hugging_face_s_parameters() -> None:
    page = text(ROOT / "docs/http-api.md").split("\n## Clients of other systems\n")[1]
    assert all(f"`{name}`" in page and f"`{ours}`" in page for name, ours in NAMES.items())


def test_the_documentation_names_the_options_of_prompts() -> None:
    parts = text(ROOT / "docs/http-api.md").split("\n### ")
    [ours], [theirs] = ([part for part in parts if part.startswith(name)] for name in ("Ollama", "OpenAI"))
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", ours, re.MULTILINE))
    assert rows == {name: kind.meaning for name, kind in ollama.OPTIONS.items()}
    assert all(f"`{name}`" in theirs for name in {**chat_completions.OPTIONS, **responses.OPTIONS})
    assert f"up to {DETERMINISTIC:g}" in text(ROOT / "docs/integrations.md").lower()
