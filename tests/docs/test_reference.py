"""The reference pages say what the code says, and the figures show what it does."""

from __future__ import annotations

import re

import pytest
import typer

from ocrmaps.cli import reference
from ocrmaps.pipelines import reference as settings

REFRESH = "python -m ocrmaps.cli.reference (or `make docs`) writes it anew"


@pytest.fixture(scope="module")
def pages():
    return reference.pages()


def test_stored_pages_and_figures_are_those_that_the_code_gives(pages):
    # Names are compared, not texts: a difference of two long ones takes pytest longer to print than to be of use.
    stored = {name: (reference.DOCS / name).read_text(encoding="utf-8") for name in pages}
    assert [f"docs/{name}" for name in pages if stored[name] != pages[name]] == [], REFRESH


def test_making_a_page_again_changes_nothing(pages, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")
    assert reference.pages() == pages


def test_every_command_has_a_sentence_and_an_example():
    from ocrmaps.cli.app import app

    for command in reference.commands(app, "ocrmaps"):
        assert command.text and command.example.startswith("ocrmaps "), command.name


def test_every_option_says_what_it_is_for():
    from ocrmaps.cli.app import app

    bare = [f"{c.name} {p.names}" for c in reference.commands(app, "ocrmaps") for p in c.parameters if not p.text]
    assert bare == []


def test_options_are_named_as_help_names_them():
    from ocrmaps.cli.app import app

    whole = typer.main.get_command(app)
    for command in reference.commands(app, "ocrmaps"):
        found = whole
        for word in command.name.split()[1:]:
            found = found.commands[word]
        said = found.get_help(found.make_context(command.name, [], resilient_parsing=True))
        names = [n for p in command.parameters if not p.argument for n in p.names.replace(" / ", ", ").split(", ")]
        assert [name for name in names if not re.search(rf"{name}\b", said)] == [], command.name


def test_every_setting_says_what_it_is_for():
    assert settings.missing_meanings() == []


@pytest.mark.parametrize(
    "page, row",
    [
        ("reference/recipe.md", "| `rows_per_shard` | whole number | `32` | a whole number from 1 to 4096 |"),
        (
            "reference/recipe.md",
            '| `shrink` | text | `"linear"` | `"nearest"`, `"box"`, `"linear"`, `"cubic"`, `"lanczos"` |',
        ),
        ("reference/recipe.md", "| `canvases` | list of [whole number, whole number] | must be given |"),
        ("reference/run.md", "| `rotate` | number | `0.0` | a number from 0 to 45 |"),
        ("reference/run.md", '| `precision` | text | `"fp32"` | `"fp32"`, `"fp16-safe"`, `"bf16"` |'),
        ("reference/run.md", '| `binarize` | number or text | `0.5` | a number from 0 to below 1, or "learned" |'),
    ],
)
def test_rows_hold_type_default_and_the_parser_s_own_rule(page, row, pages):
    assert row in pages[page]
