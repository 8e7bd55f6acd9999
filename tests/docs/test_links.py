"""Links between pages lead somewhere, and every page can be reached from the index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Page, all_pages, read_page

DOCS = ROOT / "docs"
PAGES = {path: read_page(path) for path in all_pages()}


def broken(page: Page, known: dict[Path, Page]) -> Iterator[str]:
    """Links of a page to files that are not there, or to anchors that their page does not have."""
    for line, target in page.links:
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.path.parent / name).resolve() if name else page.path
        where = f"{page.path.name}:{line}: {target}"
        if not path.exists():
            yield f"{where}: there is no such file"
        elif anchor and (path not in known or anchor not in known[path].anchors):
            yield f"{where}: there is no such heading"


def reached(start: Path, known: dict[Path, Page]) -> set[Path]:
    """Pages that following links leads to; a link to a folder leads to the pages right in it."""
    seen, ahead = {start}, [start]
    while ahead:
        page = known[ahead.pop()]
        for _, target in page.links:
            path = (page.path.parent / target.partition("#")[0]).resolve()
            for found in sorted(path.glob("*.md")) if path.is_dir() else [path]:
                if found in known and found not in seen:
                    seen.add(found)
                    ahead.append(found)
    return seen


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda p: p.path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert list(broken(page, PAGES)) == []


def test_every_page_is_reached_from_the_index():
    lost = {p for p in PAGES if p.is_relative_to(DOCS)} - reached(DOCS / "index.md", PAGES)
    assert sorted(p.relative_to(DOCS).as_posix() for p in lost) == []


def test_every_figure_is_shown_on_a_page():
    shown = {(p.path.parent / target).resolve() for p in PAGES.values() for _, target in p.links}
    assert {p for p in (DOCS / "figures").glob("*") if p.is_file()} <= shown
    assert all(p.stat().st_size < 100_000 for p in (DOCS / "figures").glob("*"))
