"""The site's pages, its navigation and its notebooks; mkdocs itself is only needed to build it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.notebooks import notebook
from tests.docs.pages import ROOT, read_page
from tests.docs.running import run, there
from tests.docs.site import DOCS, navigation, prepare, site_pages, site_texts

TEXTS = site_texts()
LOADED = re.compile(r'<(?:script|img|link rel="(?:stylesheet|preload|preconnect))[^>]*(?:src|href)="(?://|http)')
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))


def listed(entries) -> list[str]:
    """The pages of a navigation, whatever section they stand in."""
    if isinstance(entries, str):
        return [entries]
    return [page for part in (entries.values() if isinstance(entries, dict) else entries) for page in listed(part)]


def test_every_page_is_in_the_navigation_once():
    found = listed(navigation())
    assert sorted(found) == sorted({*site_pages(), *TEXTS}) and len(set(found)) == len(found)


@pytest.mark.parametrize("place", TEXTS)
def test_links_of_the_site_lead_to_its_pages(place):
    text = re.sub(r"```.*?```|`[^`\n]+`", "", TEXTS[place], flags=re.S)
    for target in re.findall(r"\]\(([^)\s#]+)", text):
        if not target.startswith(("http", "mailto:")):
            goal = os.path.normpath(Path(place).parent / target)
            made = goal.startswith("notebooks/") and (DOCS / "how-to" / f"{Path(goal).stem}.md").exists()
            assert goal in TEXTS or made or ((DOCS / goal).is_file() and not goal.endswith(".md")), target


@pytest.mark.parametrize("path", HOW_TO, ids=lambda p: p.name)
def test_a_notebook_has_the_cells_that_the_page_runs(path):
    page = read_page(path)
    made = json.loads(notebook(page))
    assert (made["nbformat"], made["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    python = [b.text.strip() for b in page.blocks if b.language == "python" and not b.not_run and not b.file]
    assert [c["source"].strip() for c in cells if c["source"][0] not in "!%"] == python
    whole = "\n".join(cell["source"] for cell in made["cells"])
    assert all(block.text.strip() in whole for block in page.blocks if block.language not in ("console", "sh"))


def test_a_notebook_runs_from_top_to_bottom(tmp_path):
    """Its cells as Jupyter runs them: `!` is a command, `%%writefile` a file, all else is Python with one memory."""
    names: dict[str, object] = {"__name__": "__main__"}
    said = []
    for cell in json.loads(notebook(read_page(DOCS / "how-to" / "diagnose.md")))["cells"]:
        source = cell["source"]
        if cell["cell_type"] != "code":
            continue
        if source.startswith("%%writefile "):
            name, _, text = source.removeprefix("%%writefile ").partition("\n")
            (tmp_path / name).write_text(text)
        elif source.startswith("!"):
            for line in source.splitlines():
                code, output = run(line[1:], tmp_path)
                assert code == 0, output
                said.append(output)
        else:
            with there(tmp_path):
                exec(compile(source, "cell", "exec"), names)
    assert "Change first: X and y are swapped" in "".join(said) and (tmp_path / "why.html").is_file()


def test_the_site_is_built_and_loads_nothing_from_elsewhere(tmp_path):
    if find_spec("mkdocs") is None or find_spec("material") is None:
        pytest.skip("needs the extra: pip install 'ocrmaps[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.site", str(tmp_path / "site")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(TEXTS)
    for page in pages:
        assert LOADED.findall(page.read_text(encoding="utf-8")) == [], page


def test_the_folder_that_mkdocs_gets_is_whole(tmp_path):
    prepare(tmp_path)
    config = (tmp_path / "mkdocs.yml").read_text()
    nav = json.loads(config.partition("\nnav: ")[2])
    assert nav == navigation()
    assert all((tmp_path / "pages" / place).is_file() for place in listed(nav))
    assert len(list((tmp_path / "pages" / "notebooks").iterdir())) == len(HOW_TO)


def test_llms_txt_names_pages_that_exist():
    text = (DOCS / "llms.txt").read_text(encoding="utf-8")
    paths = re.findall(r"\]\(([^)#]+)", text)
    assert len(paths) > 30 and all((DOCS / path).exists() for path in paths)


def test_the_image_is_made_of_what_is_there():
    """No container tool builds it here: what it copies and installs is held against the tree."""
    text = (ROOT / ".ci" / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (\S+) ", text, re.M):
        assert (ROOT / source).exists(), source
    extras = re.findall(r'"/src\[([\w,]+)\]"', text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(extras) == 1 and set(extras[0].split(",")) <= set(project["optional-dependencies"])
    assert f"FROM python:{project['requires-python'].removeprefix('>=')}-slim" in text
    assert 'ENTRYPOINT ["ocrmaps"]' in text and "ocrmaps" in project["scripts"] and "USER ocrmaps" in text
