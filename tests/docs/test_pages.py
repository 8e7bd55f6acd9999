"""Every fenced block of the documentation does what its page says, or the page says why it is not run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT, all_pages, read_page
from tests.docs.running import Reader

PAGES = [read_page(path) for path in all_pages()]
NOT_RUN = [block for page in PAGES for block in page.blocks if block.not_run]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


NEEDS = {"object-storage.md": "obstore"}
"""Pages whose blocks need a package that not every installation has."""


@pytest.mark.parametrize("page", [p for p in PAGES if p.blocks], ids=lambda p: _name(p.path))
def test_blocks_do_what_the_page_says(page, project, pictures, tmp_path):
    assert not page.faults
    if page.path.name in NEEDS:
        pytest.importorskip(NEEDS[page.path.name], reason="needs an extra of ocrmaps")
    blocks = [block for block in page.blocks if not block.not_run]
    folder = tmp_path / "here"
    if page.empty or not any(block.language in ("console", "sh", "python") for block in blocks):
        folder.mkdir()
    elif page.pictures:
        shutil.copytree(pictures if page.path.name == "README.md" else project / "receipts", folder / "receipts")
    else:
        shutil.copytree(project, folder)
    reader = Reader(folder)
    for block in blocks:
        reader.follow(block)
    shutil.rmtree(folder)


@pytest.mark.parametrize("block", NOT_RUN, ids=lambda b: b.where)
def test_blocks_that_are_not_run_say_why(block):
    pytest.skip(f"{block.where} is not run: {block.not_run}")


@pytest.mark.parametrize(
    "block", [b for page in PAGES for b in page.blocks if b.language in ("bash", "yaml")], ids=lambda b: b.where
)
def test_scripts_and_configurations_for_other_machines_parse(block):
    if block.language == "yaml":
        assert all(isinstance(document, dict) for document in yaml.safe_load_all(block.text))
    else:
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
        assert not done.returncode, done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines" / "recipes").glob("*.toml")), ids=lambda p: p.name)
def test_shipped_recipe_and_run_files_parse(path):
    from tests.docs.running import parse_toml

    assert parse_toml(path.read_text(encoding="utf-8")) == ("run" if path.stem.endswith("-run") else "recipe")
