"""Tables of the documentation and of --help that are made from the code, and must not differ from it."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from service.settings import METAVARS, Settings, allowed_values, default_value
from service.settings import _parser as service_parser
from training.__main__ import main
from training.answers.recipe import AnswerRecipe
from training.concepts.recipe import ConceptRecipe
from training.language.recipe import LanguageRecipe
from training.recipe import Recipe
from training.recipe_keys import Key, keys_of, listing
from training.stages.recipe import StagesRecipe

DOCS = Path(__file__).parents[1] / "docs"
KINDS = {
    "fit": Recipe,
    "fit-concepts": ConceptRecipe,
    "fit-text": LanguageRecipe,
    "fit-answers": AnswerRecipe,
    "all": StagesRecipe,
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown spells it."""
    lines = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join((f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines)) + "\n"


def settings_table() -> str:
    rows = []
    for row in fields(Settings):
        kind = METAVARS.get(row.metadata["read"], "text").replace("|", ", ")
        values = "".join(allowed_values(row.name)) or ", ".join(row.metadata["choices"]) or kind
        rows.append((f"`{row.name}`", values, default_value(row), row.metadata["meaning"]))
    return table(("setting", "values", "default", "meaning"), rows)


def keys_table(keys: Sequence[Key]) -> str:
    rows = [(f"`{key.name}`", key.values, f"`{key.default}`" if key.default else "", key.meaning) for key in keys]
    return table(("key", "values", "default", "meaning"), rows)


def recipe_table() -> str:
    return keys_table(list(keys_of(Recipe)))


def own_table(kind: type, *parts: str) -> str:
    """Return the table of what a recipe has besides a captioning recipe's keys."""
    return keys_table([key for key in keys_of(kind) if key.name.startswith(parts)])


def concepts_table() -> str:
    return own_table(ConceptRecipe, "words.", "training.")


def language_table() -> str:
    return own_table(LanguageRecipe, "text.", "training.", "samples.")


def answers_table() -> str:
    return keys_table(list(keys_of(AnswerRecipe)))


def stages_table() -> str:
    return keys_table(list(keys_of(StagesRecipe)))


TABLES = {
    "settings": ("operations.md", settings_table),
    "recipe": ("training.md", recipe_table),
    "stages": ("training.md", stages_table),
    "concepts": ("training.md", concepts_table),
    "language": ("training.md", language_table),
    "answers": ("answers.md", answers_table),
}


@pytest.mark.parametrize("name", list(TABLES))
def test_the_documentation_has_the_table(name: str) -> None:
    page, made = TABLES[name]
    assert made() in (DOCS / page).read_text(encoding="utf-8"), f"in docs/{page} there must be:\n{made()}"


@pytest.mark.parametrize("command", list(KINDS))
def test_help_lists_every_key_of_a_recipe(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert listing(KINDS[command]) in capsys.readouterr().out


def test_every_key_of_a_recipe_has_a_meaning_and_values() -> None:
    for kind in KINDS.values():
        assert [key.name for key in keys_of(kind) if not (key.meaning and key.values)] == []


def test_keys_say_what_they_may_be() -> None:
    keys = {key.name: (key.values, key.default) for key in keys_of(Recipe)}
    assert keys["name"] == ("text", "")
    assert keys["training.phases[].label_smoothing"] == ("0 to 0.99", "0.1")
    assert keys["training.phases[].schedule"] == ("cosine, step, constant", '"cosine"')
    assert keys["model.decoder.dropout"] == ("0 to below 1", "0.5")
    assert keys["data.train_split"] == ("text or list", "[]")
    assert keys["decoding.seed"] == ("0 to 9223372036854775807", "none")
    assert keys["data.mirror"] == ("true, false", "false")


def test_the_service_s_help_prints_ranges() -> None:
    text = " ".join(service_parser().format_help().split())
    assert "(0 to 65535; default: 8000; or set CAPTIONER_PORT)" in text
    for row in fields(Settings):
        assert all(f"({allowed}; default: " in text for allowed in allowed_values(row.name))
