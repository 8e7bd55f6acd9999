"""Notebooks of how-to pages: what a page says is text, what its tests run are cells.

A page that starts from the small project of the tests makes it in its first cells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.docs.conftest import MAKE, RECIPE, RUN
from tests.docs.pages import Block, Page
from tests.docs.running import commands

Cell = dict[str, Any]


def notebook(page: Page) -> str:
    """The page as a notebook file (nbformat 4.5)."""
    cells = [*_start(page), *_cells(page)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _start(page: Page) -> Iterator[Cell]:
    if page.empty or not any(block.language in ("python", "console", "sh") for block in page.blocks):
        return
    yield _text("*First the small project that this page starts from: invented receipts.*")
    make = MAKE[:2] if page.pictures else MAKE
    if not page.pictures:
        yield _code(f"%%writefile receipts.toml\n{RECIPE.lstrip()}")
        yield _code(f"%%writefile receipts-run.toml\n{RUN.lstrip()}")
    yield _code("\n".join(f"!{command}" for command in make))


def _cells(page: Page) -> Iterator[Cell]:
    lines = page.path.read_text(encoding="utf-8").splitlines()
    at = 0
    for block in page.blocks:
        above = [line for line in lines[at : block.line - 1] if not line.startswith("<!-- ")]
        if text := "\n".join(above).strip():
            yield _text(text)
        end = next(i for i in range(block.line, len(lines)) if lines[i].strip().startswith("```"))
        yield _cell(block, lines[block.line - 1 : end + 1])
        at = end + 1
    if text := "\n".join(lines[at:]).strip():
        yield _text(text)


def _cell(block: Block, fenced: list[str]) -> Cell:
    """What is run is code; files are written; all else is shown."""
    if block.not_run:
        return _text("\n".join([f"*Not run here: {block.not_run}.*", "", *fenced]))
    if block.file:
        return _code(f"%%writefile {block.file}\n{block.text}")
    if block.language == "python":
        return _code(block.text)
    if block.language in ("console", "sh"):
        return _code("\n".join(f"!{command}" for command, _ in commands(block.language, block.text)))
    return _text("\n".join(fenced))


def _text(text: str) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(text: str) -> Cell:
    source = text.rstrip("\n")
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
