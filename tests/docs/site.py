"""Builds the documentation as a site that loads nothing from elsewhere: `make docs-site` runs it.

The pages of the repository become pages of the site as they are; README and SECURITY join them, links to folders lead
to lists of their pages, links to other files of the repository become plain text, and every how-to has its notebook.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.docs.notebooks import notebook
from tests.docs.pages import ROOT, read_page

DOCS = ROOT / "docs"
OTHERS = {"README.md": "readme.md", "SECURITY.md": "security.md"}
"""Pages beside docs -> their place on the site."""
SECTIONS = {
    "How-to": "how-to",
    "Explanation": "explanation",
    "Reference": "reference",
    "Migration": "migration",
    "Detectors": "detectors",
    "Benchmarks": "benchmarks",
    "Decisions": "adr",
}
_LINK = re.compile(r"(!?)\[((?:[^\]\[]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?((?: \"[^\"]*\")?)\)")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.M | re.S)
CONFIG = """\
site_name: ocrmaps
docs_dir: pages
site_dir: site
use_directory_urls: false
theme:
  name: material
  font: false
  palette:
    - media: "(prefers-color-scheme: light)"
      scheme: default
    - media: "(prefers-color-scheme: dark)"
      scheme: slate
plugins:
  - search
extra:
  generator: false
validation:
  links:
    anchors: warn
markdown_extensions:
  - tables
  - pymdownx.superfences
  - toc:
      permalink: true
      slugify: !!python/object/apply:pymdownx.slugs.slugify {kwds: {case: lower}}
"""


def site_pages() -> dict[str, Path]:
    """Place on the site -> page of the repository."""
    found = {path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*.md"))}
    return found | {place: ROOT / name for name, place in OTHERS.items()}


def site_texts() -> dict[str, str]:
    """Place on the site -> text, its links leading to places on the site; with a list for each folder linked to."""
    pages = site_pages()
    places = {path: place for place, path in pages.items()}
    lists: dict[str, str] = {}
    texts = {place: _linked(path, place, places, lists) for place, path in pages.items()}
    for place in [p for p in pages if p.startswith("how-to/")]:
        name = Path(place).with_suffix(".ipynb").name
        title, _, rest = (
            texts[place].partition("\n# ") if not texts[place].startswith("# ") else ("", "", texts[place][2:])
        )
        head, _, body = rest.partition("\n")
        texts[place] = f"{title}\n# {head}\n\n[This page as a notebook](../notebooks/{name})\n{body}".lstrip("\n")
    return texts | lists


def _linked(path: Path, place: str, places: Mapping[Path, str], lists: dict[str, str]) -> str:
    def there(found: re.Match[str]) -> str:
        mark, words, target, anchor, title = (part or "" for part in found.groups())
        if not target or target.startswith(("http://", "https://", "mailto:")):
            return found[0]
        file = (path.parent / target).resolve()
        if file in places:
            goal = places[file]
        elif file.is_dir() and file.is_relative_to(DOCS):
            goal = f"{file.relative_to(DOCS).as_posix()}/all.md"
            lists[goal] = _list(file)
        elif file.is_relative_to(DOCS):
            goal = file.relative_to(DOCS).as_posix()
        else:
            return f"{words} (`{file.relative_to(ROOT).as_posix()}`)"
        return f"{mark}[{words}]({os.path.relpath(goal, Path(place).parent)}{anchor}{title})"

    parts = _CODE.split(path.read_text(encoding="utf-8"))
    return "".join(part if i % 2 else _LINK.sub(there, part) for i, part in enumerate(parts))


def _list(folder: Path) -> str:
    rows = [f"* [{title_of(page)}]({page.name})" for page in sorted(folder.glob("*.md"))]
    return "\n".join([f"# {folder.name}", "", *rows, ""])


def title_of(path: Path) -> str:
    """What the page's heading says."""
    head = next(line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# "))
    return head[2:].replace("`", "")


def navigation() -> list[Any]:
    """Every page of the repository, by section; the lists of folders head their sections."""
    pages, texts = site_pages(), site_texts()
    nav: list[Any] = ["index.md", {"README": "readme.md"}, "tutorial.md"]
    for name, folder in SECTIONS.items():
        mine = [place for place in texts if place.startswith(f"{folder}/")]
        nav.append(
            {name: sorted(mine, key=lambda place: (place not in (f"{folder}/all.md", f"{folder}/index.md"), place))}
        )
    listed = {p for entry in nav for p in ([entry] if isinstance(entry, str) else next(iter(entry.values())))}
    nav += [place for place in sorted(pages) if place not in listed and place != "readme.md"]
    return nav


def prepare(folder: Path) -> None:
    """Write everything that mkdocs needs into an empty folder."""
    pages = folder / "pages"
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("*.md"))
    for place, text in site_texts().items():
        (pages / place).parent.mkdir(parents=True, exist_ok=True)
        (pages / place).write_text(text, encoding="utf-8")
    (pages / "notebooks").mkdir()
    for path in sorted((DOCS / "how-to").glob("*.md")):
        (pages / "notebooks" / f"{path.stem}.ipynb").write_text(notebook(read_page(path)), encoding="utf-8")
    nav = json.dumps(navigation(), ensure_ascii=False)
    (folder / "mkdocs.yml").write_text(f"{CONFIG}nav: {nav}\n", encoding="utf-8")


def main() -> None:
    """Build the site; a broken link ends it."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site").absolute()
    with tempfile.TemporaryDirectory() as work:
        prepare(Path(work))
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
        if subprocess.run(command, cwd=work, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}).returncode:
            raise SystemExit("the site was not built; mkdocs comes with the extra: pip install 'ocrmaps[docs]'")
    sys.stdout.write(f"wrote {out}/index.html\n")


if __name__ == "__main__":
    main()
