"""What a page of documentation holds: fenced blocks with the notes above them, links and anchors.

A note is an HTML comment on the line above a block:

    <!-- not run: needs a GPU -->                 the block is not run, and this is why
    <!-- file: receipts.toml -->                  the block is written to this file for the blocks after it
    <!-- shortened in tests: `--num 160` -> `--num 8` -->   tests run it so; figures in its output then count as figures
    <!-- numbers vary -->                         figures in its output count as figures, whatever they are

and `<!-- starts from: an empty folder -->` keeps the blocks of a page from starting in a small project,
`<!-- starts from: annotated pictures -->` leaves them its receipts/train and receipts/val only.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("python", "console", "sh", "bash", "toml", "yaml", "json", "xml", "csv", "text")
"""What a block may say it is; `text` is what nobody runs or parses: listings and messages."""
EMPTY = "starts from: an empty folder"
PICTURES = "starts from: annotated pictures"
_FENCE = re.compile(r"^( {0,3})(```+)([^`]*)$")
_NOTE = re.compile(r"^<!-- (.*) -->$")
_SHORTER = re.compile(r"`([^`]+)` -> `([^`]*)`")
_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)(?: \"[^\"]*\")?\)")
_CODE = re.compile(r"(`+).*?\1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    """Of the opening fence, counted from 1."""
    language: str
    text: str
    not_run: str = ""
    """The stated reason; empty for blocks that are run."""
    file: str = ""
    shorter: tuple[tuple[str, str], ...] = ()
    numbers_vary: bool = False

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix() if self.page.is_relative_to(ROOT) else self.page}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One Markdown file."""

    path: Path
    blocks: tuple[Block, ...]
    links: tuple[tuple[int, str], ...]
    """(line, target) of every link and picture outside blocks and inline code."""
    anchors: frozenset[str]
    empty: bool
    """Its blocks start in an empty folder."""
    pictures: bool
    """Its blocks start in a folder with annotated pictures and nothing else."""
    faults: tuple[str, ...] = field(default=())
    """What is wrong with the page as a page."""


def all_pages() -> list[Path]:
    """README and every page under docs, in one order."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def read_page(path: Path) -> Page:
    """Take a page apart; what is wrong with it is listed, not raised."""
    blocks: list[Block] = []
    links: list[tuple[int, str]] = []
    headings: list[str] = []
    faults: list[str] = []
    notes: list[str] = []
    empty = pictures = False
    lines = iter(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence:
            body = list(_body(lines, len(fence[1]), fence[2]))
            block, wrong = _block(path, number, fence[3].strip(), "\n".join(body) + "\n", notes)
            blocks.append(block)
            faults += wrong
            notes = []
            continue
        note = _NOTE.match(line.strip())
        if note:
            empty |= note[1] == EMPTY
            pictures |= note[1] == PICTURES
            notes.append(note[1])
            continue
        if line.strip():
            notes = []
        if re.match(r" {4,}\$? ?(ocrmaps|make|pip|python) ", line):
            faults.append(f"{path.name}:{number}: a command that nobody runs; put it into a fenced block")
        if line.startswith("#"):
            headings.append(line.lstrip("#").strip())
        links += [(number, target) for target in _LINK.findall(_CODE.sub("", line))]
    return Page(
        path=path,
        blocks=tuple(blocks),
        links=tuple(links),
        anchors=frozenset(_anchors(headings)),
        empty=empty,
        pictures=pictures,
        faults=tuple(faults),
    )


def _body(lines: Iterator[tuple[int, str]], indent: int, fence: str) -> Iterator[str]:
    for _, line in lines:
        if line.strip().startswith(fence) and not line.strip().strip("`"):
            return
        yield line[indent:] if line[:indent].isspace() else line


def _block(path: Path, line: int, language: str, text: str, notes: list[str]) -> tuple[Block, list[str]]:
    known: dict[str, str] = {}
    shorter: list[tuple[str, str]] = []
    faults = []
    for note in notes:
        key, _, value = note.partition(": ")
        if key == "shortened in tests":
            shorter += _SHORTER.findall(value)
        elif key in ("not run", "file") or note == "numbers vary":
            known[key] = value
        elif note not in (EMPTY, PICTURES) and not note.startswith("Made by "):
            faults.append(f"unknown note {note!r} above a block")
    block = Block(
        page=path,
        line=line,
        language=language,
        text=text,
        not_run=known.get("not run", ""),
        file=known.get("file", ""),
        shorter=tuple(shorter),
        numbers_vary="numbers vary" in known or bool(shorter),
    )
    if language not in LANGUAGES:
        faults.append(f"a block of language {language!r}, expected one of {', '.join(LANGUAGES)}")
    if "not run" in known and len(known["not run"].split()) < 2:
        faults.append("'not run' without a reason")
    if language == "text" and re.search(r"^\$ ", text, re.M):
        faults.append("commands in a block of language text; `console` runs them")
    faults += [f"{old!r} is to be shortened and is not in the block" for old, _ in shorter if old not in text]
    return block, [f"{block.where}: {fault}" for fault in faults]


def _anchors(headings: list[str]) -> Iterator[str]:
    """The anchors that GitHub and most renderers give to headings."""
    seen: Counter[str] = Counter()
    for heading in headings:
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        kept = (c for c in text if c in " -_" or unicodedata.category(c)[0] in "LNM")
        slug = "".join(kept).replace(" ", "-")
        yield slug if not seen[slug] else f"{slug}-{seen[slug]}"
        seen[slug] += 1
