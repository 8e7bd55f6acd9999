"""Per-picture annotation files: found in a folder, a zip archive or alone, and tied to the picture of the same name.

`gt_img_1.txt`, `img_1.txt` and `img_1.jpg.txt` all mean the picture `img_1.*`.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ocrmaps.annotations.discovery.pictures import clean_name, is_picture
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import decode, read_bytes, refusal, refuse_nul
from ocrmaps.annotations.grammar.lines import is_long
from ocrmaps.annotations.records import Reading, Source
from ocrmaps.errors import AnnotationError
from ocrmaps.files import leads_outside, open_regular
from ocrmaps.geometry import Size
from ocrmaps.limits import MAX_BYTES, MOST_LINES

ZIP_ERRORS = (OSError, ValueError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError)
"""What damaged, encrypted and exotic archives raise. `AnnotationError` is a ValueError: catch it before these."""


@dataclass(frozen=True, slots=True)
class Document:
    """One per-picture file: its name relative to the annotation folder, and its bytes when asked."""

    name: str
    read: Callable[[], bytes]


@dataclass(slots=True)
class Page:
    """The outlines that one per-picture file states, and what is wrong with it."""

    points: list[Any] = field(default_factory=list)
    ignore: list[bool] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """The line of each outline."""
    faults: list[tuple[int, str, str]] = field(default_factory=list)
    """(line, kind, message)"""
    notes: list[tuple[int, str, str]] = field(default_factory=list)
    """The same of what was read, but in a way that a person should know of."""
    unused: dict[str, int] = field(default_factory=dict)

    def add(self, line: int, points: list[Any], text: str | None, *, ignore: bool) -> None:
        self.points.append(points)
        self.ignore.append(ignore)
        self.texts.append(text)
        self.lines.append(line)

    def fault(self, line: int, kind: str, message: str) -> None:
        self.faults.append((line, kind, message))

    def note(self, line: int, kind: str, message: str) -> None:
        self.notes.append((line, kind, message))


ParsePage = Callable[[str, str], Page]
"""(text, name of the file) -> its outlines"""


def documents(g: Gather, suffixes: Sequence[str]) -> Iterator[Document]:
    """The per-picture files of the source, sorted by name. Raises for an archive that cannot be opened."""
    root = g.source.annotations
    if root.is_dir():
        yield from _in_folder(g, root, suffixes)
    elif root.suffix.lower() == ".zip":
        yield from _in_zip(g, root, suffixes)
    else:
        yield Document(root.name, partial(read_bytes, root, root.name))


def _in_folder(g: Gather, root: Path, suffixes: Sequence[str]) -> Iterator[Document]:
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        prefix = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in names:
            if name.startswith("."):
                continue
            if name.lower().endswith(tuple(suffixes)):
                found.append(name if prefix == "." else f"{prefix}/{name}")
            elif not is_picture(name):
                g.unused["files with another ending"] += 1
    for name in sorted(found):
        yield Document(name, partial(_read_inside, root, name))
    if not found:
        raise refusal(g.file, f"found no {' or '.join(suffixes)} files in this folder", "missing-file")


def _read_inside(root: Path, name: str) -> bytes:
    path = root / name
    if path.is_symlink() and leads_outside(path, root):
        raise refusal(name, "found a symbolic link that leads outside the annotation folder", "unsafe-path")
    return read_bytes(path, name)


def _in_zip(g: Gather, root: Path, suffixes: Sequence[str]) -> Iterator[Document]:
    try:
        with open_regular(root) as file, zipfile.ZipFile(file) as archive:
            entries = [e for e in archive.infolist() if not e.is_dir() and not _hidden(e.filename)]
            wanted = [e for e in entries if e.filename.lower().endswith(tuple(suffixes))]
            total = sum(e.file_size for e in wanted)
            if total > MAX_BYTES:
                raise refusal(g.file, f"found {total} unpacked bytes, expected at most {MAX_BYTES}", "too-large")
            other = sum(not is_picture(e.filename) for e in entries) - len(wanted)
            if other:
                g.unused["files with another ending"] += other
            if not wanted:
                raise refusal(g.file, f"found no {' or '.join(suffixes)} files in this archive", "missing-file")
            for entry in sorted(wanted, key=lambda e: e.filename):
                yield Document(entry.filename, partial(_unpack, archive, entry))
    except AnnotationError:  # itself a ValueError
        raise
    except ZIP_ERRORS as error:
        raise refusal(g.file, f"found an archive that cannot be opened: {error}", "unreadable-file") from None


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.replace("\\", "/").split("/") if part != "..")


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(entry) as file:
            data = file.read(entry.file_size + 1)  # a lying header cannot make us unpack more than it claims
    except ZIP_ERRORS as error:
        raise refusal(entry.filename, f"found a file that cannot be unpacked: {error}", "unreadable-file") from None
    if len(data) > entry.file_size:
        raise refusal(entry.filename, "found more bytes than the archive declares", "unreadable-file")
    return data


def picture_of(g: Gather, name: str, prefixes: Sequence[str] = ()) -> str | None:
    """The picture that a per-picture file belongs to, by its name; a problem if two pictures fit.

    Where no picture exists, the name without endings is the id, and the missing picture is for others to report.
    """
    return picture_with_stem(g, os.path.splitext(name)[0], name, prefixes)


def picture_with_stem(g: Gather, stem: str, loc: str, prefixes: Sequence[str] = ()) -> str | None:
    """The picture that a name without ending means; a problem if two pictures fit."""
    folder, _, last = stem.rpartition("/")
    front = f"{folder}/" if folder else ""
    stems = [stem] + [front + last[len(p) :] for p in prefixes if last.lower().startswith(p) and len(last) > len(p)]
    try:
        stems = [clean_name(s) for s in stems]
    except ValueError as error:
        g.problem(loc, str(error), "unsafe-path")
        return None
    fitting: dict[str, None] = {}
    for candidate in stems:
        if is_picture(candidate) and g.pictures.holds(candidate):
            fitting[candidate] = None
        fitting.update(dict.fromkeys(g.pictures.with_stem(candidate)))
    if len(fitting) > 1:
        message = f"found {len(fitting)} pictures that this file could mean: {', '.join(fitting)}; keep one of them"
        g.problem(loc, message, "ambiguous-picture")
        return None
    return g.picture(next(iter(fitting), stems[-1]), loc)


def read_pages(
    source: Source,
    suffixes: Sequence[str],
    decide: Callable[[Sequence[str]], ParsePage],
    *,
    prefixes: Sequence[str] = (),
    latin1: bool = False,
) -> Reading:
    """Read every per-picture file with the parser that `decide` chooses after seeing all texts.

    `latin1`: files that are not UTF-8 are read as latin-1 and noted, as the format declares.
    """
    g = Gather(source)
    texts: list[tuple[str, str]] = []
    with g.attempt():
        for document in documents(g, suffixes):
            with g.attempt():
                texts.append((document.name, _text(g, document, latin1=latin1)))
    parse = decide([text for _, text in texts])
    for name, text in texts:
        since = len(g.problems)
        with g.attempt():
            page = parse(text, name)
            for line, kind, message in page.faults:
                g.problem(f"{name}:{line}", message, kind)
            for line, kind, message in page.notes:
                g.note(f"{name}:{line}", message, kind)
            g.unused.update(page.unused)
            where = partial(_where, name, page.lines)
            id = picture_of(g, name, prefixes)
            g.sample(id, loc=name, points=page.points, ignore=page.ignore, texts=page.texts, where=where, since=since)
    return g.reading()


def read_json_pages(
    source: Source, suffixes: Sequence[str], parse: Callable[[Gather, GatheredOutlines, Any, str], Size | None]
) -> Reading:
    """Read every per-picture json file, sorted by name; `parse` adds the outlines and gives the size that is stated."""
    g = Gather(source)
    with g.attempt():
        for document in documents(g, suffixes):
            with g.attempt():
                name, since, found = document.name, len(g.problems), GatheredOutlines()
                size = parse(g, found, g.parse_json(decode(document.read(), name), name), name)
                g.page(picture_of(g, name), name, found, size=size, since=since)
    return g.reading()


def text_of(document: Document) -> str:
    """The text of a file whose lines are outlines of one picture."""
    return _bearable(decode(document.read(), document.name), document.name)


def _bearable(text: str, name: str) -> str:
    if is_long(text):
        raise refusal(name, f"found over {MOST_LINES} lines about one picture", "too-many-outlines")
    return text


def _text(g: Gather, document: Document, *, latin1: bool) -> str:
    data = document.read()
    if latin1 and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            g.note(f"{document.name}:{line}", f"found byte 0x{data[error.start]:02x}: file read as latin-1", "latin-1")
            return _bearable(refuse_nul(data.decode("latin-1"), document.name), document.name)
    return _bearable(decode(data, document.name), document.name)


def _where(name: str, lines: list[int], i: int) -> str:
    return f"{name}:{lines[i]}"
