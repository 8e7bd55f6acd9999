"""Where annotations could be: looks at the beginning of the files below a path and asks every format what it sees."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ocrmaps.annotations.discovery.pictures import is_picture
from ocrmaps.annotations.discovery.signs import HEAD_BYTES, Head, Sign, peek_json
from ocrmaps.annotations.grammar.contents import decode, parse_json, read_bytes
from ocrmaps.annotations.grammar.documents import ZIP_ERRORS
from ocrmaps.annotations.grammar.lines import leading
from ocrmaps.annotations.grammar.xml import peek_xml
from ocrmaps.errors import AnnotationError
from ocrmaps.files import leads_outside, open_regular
from ocrmaps.limits import MAX_BYTES

TEXT_SUFFIXES = (".txt", ".csv", ".tsv", ".gt")
SUFFIXES = (*TEXT_SUFFIXES, ".json", ".jsonl", ".xml", ".zip", ".mat", ".tar", ".parquet", ".arrow")
_FILES = 24
"""Files of a folder that are looked at; one format speaks for all files of a folder or the reader says otherwise."""
_LINES = 40
_START = 65536
_PARSED = 16 * 2**20
"""A longer file without format is not parsed to say what is wrong with it."""
_FOLDERS = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Annotations that one format recognizes."""

    format: str
    path: Path
    reason: str


def places_in(path: Path, signs: Mapping[str, Sign], suffixes: Sequence[str] = SUFFIXES) -> list[Place]:
    """Everything recognized at a path: the file itself, or what a folder and its subfolders hold.

    Two levels of subfolders at most, and the second only where the first holds nothing.
    """
    if path.is_file():
        return _in_file(path, signs)
    first = subfolders(path)
    found = [place for folder in (path, *first) for place in _in_folder(folder, signs, suffixes)]
    if found:
        return found
    inner = (inner for folder in first for inner in subfolders(folder))
    return [place for folder in inner for place in _in_folder(folder, signs, suffixes)]


def subfolders(path: Path) -> list[Path]:
    """The visible folders inside a folder, sorted, not following links out of patience."""
    try:
        with os.scandir(path) as listed:
            names = sorted(entry.name for entry in listed if _visible(entry.name) and entry.is_dir())
    except OSError:
        return []
    return [path / name for name in names[:_FOLDERS]]


def entries(path: Path) -> list[Path]:
    """The visible entries of a folder, sorted; nothing where it cannot be listed."""
    return [path / name for name in _names(path)]


def _names(path: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(path) if _visible(name))
    except OSError:
        return []


def _visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))


def seen_in(path: Path) -> str:
    """What a file or folder holds, for a message: `310 .jpg, 2 folders`, `xml with the root <page>`."""
    if path.is_file():
        return _broken_json(path) or _shape(path) or "a file that no format recognizes"
    if not path.is_dir():
        return "neither a file nor a folder"
    counts: Counter[str] = Counter()
    shapes: dict[str, str] = {}
    for entry in entries(path):
        kind = "folder" if entry.is_dir() else entry.suffix.lower() or "file without ending"
        counts[kind] += 1
        if kind in SUFFIXES and kind not in shapes:
            shapes[kind] = "a link out of the folder" if leads_outside(entry, path) else _shape(entry)
    many = {"folder": "folders", "file without ending": "files without ending"}
    seen = [
        f"{n} {kind if n == 1 else many.get(kind, kind)}" + (f" ({shapes[kind]})" if shapes.get(kind) else "")
        for kind, n in counts.most_common(6)
    ]
    said = ", ".join(seen) or "nothing"
    near = (folder for folder in subfolders(path) if not leads_outside(folder, path))
    holding = (folder for folder in near if any(p.suffix.lower() in SUFFIXES for p in entries(folder)))
    inside = None if shapes else next(holding, None)
    return said if inside is None else f"{said}; in {inside.name}: {seen_in(inside)}"


def _shape(path: Path) -> str:
    """What one file looks like; empty where nothing can be said of it."""
    try:
        with open_regular(path) as file:
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                return "UTF-16 text, expected UTF-8; save it as UTF-8"
    except OSError:
        return ""
    return str(head_of(path))


def _broken_json(path: Path) -> str:
    """What is wrong with a .json file and where; "" for one that is sound, and for other files."""
    if path.suffix.lower() == ".json" and path.stat().st_size <= _PARSED:
        try:
            parse_json(decode(read_bytes(path, path.name), path.name), path.name, lambda *doubled: None)
        except AnnotationError as error:
            return str(error.problems[0]).partition(": found ")[2] + f" ({error.problems[0].loc})"
    return ""


def _asked(head: Head, signs: Mapping[str, Sign]) -> list[tuple[str, str]]:
    return [(name, reason) for name, sign in signs.items() if (reason := sign.recognize(head))]


def _in_file(path: Path, signs: Mapping[str, Sign]) -> list[Place]:
    if path.suffix.lower() == ".zip":
        return [Place(name, path, reason) for name, reason in _asked(_zip_head(path), signs)]
    head = head_of(path)
    found = _asked(head, signs)
    if not found and head.lines:  # one picture's file, perhaps
        found = _asked(Head(suffix=head.suffix, lines=head.lines, per_picture=True), signs)
    return [Place(name, path, reason) for name, reason in found]


def _in_folder(folder: Path, signs: Mapping[str, Sign], suffixes: Sequence[str]) -> list[Place]:
    # By the names first: a folder may hold a million pictures, which need not become paths.
    named: dict[str, list[str]] = {suffix: [] for suffix in suffixes}
    for name in _names(folder):
        named.get(os.path.splitext(name)[1].lower(), []).append(name)
    found: dict[tuple[str, Path], Place] = {}
    loose: dict[str, list[Head]] = {}
    for suffix, names in named.items():
        # Only as many files as are looked at are asked for what they are: a folder may hold a million.
        files = (p for p in map(folder.joinpath, names) if p.is_file())
        for path in islice(files, _FILES):
            if suffix == ".zip":
                for place in _in_file(path, signs):
                    found[place.format, path] = place
                continue
            head = head_of(path)
            for format, reason in _asked(head, signs):
                where = folder if signs[format].per_picture else path
                found.setdefault((format, where), Place(format, where, reason))
            if head.lines:
                loose.setdefault(suffix, []).append(head)
    taken = {place.path.suffix.lower() for place in found.values() if place.path != folder}
    for suffix, heads in loose.items():
        if suffix not in taken:
            for name, reason in _asked(_together(suffix, heads), signs):
                found.setdefault((name, folder), Place(name, folder, reason))
    return list(found.values())


def head_of(path: Path) -> Head:
    """The beginning of one file; empty where it cannot be read or is no text."""
    suffix = path.suffix.lower()
    try:
        with open_regular(path) as file:
            if suffix == ".tar":  # its second member may lie behind megabytes of the first
                return Head(suffix=suffix, start="\n".join(_members(file)))
            data = file.read(HEAD_BYTES + 1)
            head = _head(suffix, data)
            if suffix == ".json" and len(data) > HEAD_BYTES and _is_vague(head.json):
                head = _head(suffix, data + file.read(MAX_BYTES))
            return head
    except (OSError, ValueError):
        return Head(suffix=suffix)


def _is_vague(value: Any) -> bool:
    """Whether the part of a json file that was seen holds a single top-level value at most: too little to tell."""
    return isinstance(value, dict) and not any(isinstance(v, (dict, list)) and v for v in value.values())


def _text(data: bytes) -> str:
    return data.decode("utf-8-sig", "replace")


def _head(suffix: str, data: bytes) -> Head:
    if suffix == ".tar":
        return Head(suffix=suffix, start="\n".join(_members(BytesIO(data))))
    text = _text(data)
    if "\0" in text[:4096]:
        return Head(suffix=suffix)
    start = text.lstrip()[:1]
    if suffix == ".xml" or (start == "<" and suffix not in TEXT_SUFFIXES):
        return Head(suffix=suffix, xml=peek_xml(text), start=text[:_START])
    if start == "{" or (start == "[" and suffix == ".json"):
        return Head(suffix=suffix, json=peek_json(text))
    if suffix in (".json", ".jsonl"):
        return Head(suffix=suffix)
    return Head(suffix=suffix, lines=tuple(_lines(text, cut=len(data) > HEAD_BYTES)))


def _members(file: BinaryIO) -> Iterator[str]:
    """The first names in a tar archive, or in the part of it that was seen."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            yield from (member.name for member in islice(archive, _FILES) if member.isreg())
    except (tarfile.TarError, EOFError, ValueError, ArithmeticError, KeyError, TypeError, IndexError):
        return


def _lines(text: str, *, cut: bool) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n", _LINES)
    kept = lines[:_LINES] if len(lines) > _LINES or not cut else lines[:-1]
    return [line for line in kept if line.strip(" \t")]


def _together(suffix: str, heads: Sequence[Head]) -> Head:
    """One head for the per-picture files of a folder. Prose beside them (a read-me, a licence) has no vote."""
    voting = [head for head in heads if head.lines[0].lstrip().startswith("x:") or _numeric(head.lines)]
    lines = tuple(line for head in voting for line in head.lines)
    return Head(suffix=suffix, lines=lines if 2 * len(voting) >= len(heads) else (), per_picture=True)


def _numeric(lines: Sequence[str]) -> bool:
    rows = [row for line in lines for row in ([field.strip(" \t") for field in line.split(",")], line.split())]
    return any(leading(row) >= 4 for row in rows)


def stems_in(path: Path) -> list[str]:
    """The names of the annotation files in an archive, without their endings; those of pictures are left out."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            names = [entry.filename for entry in archive.infolist()]
    except ZIP_ERRORS:
        return []
    parts = [os.path.splitext(name) for name in names if not is_picture(name) and _visible(name)]
    return [stem for stem, suffix in parts if suffix.lower() in SUFFIXES]


def _zip_head(path: Path) -> Head:
    heads: list[Head] = []
    suffix = ".zip"
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            for entry in archive.infolist()[: 4 * _FILES]:
                suffix = os.path.splitext(entry.filename)[1].lower()
                if suffix in (*TEXT_SUFFIXES, ".xml", ".json") and not is_picture(entry.filename):
                    with archive.open(entry) as member:
                        heads.append(_head(suffix, member.read(HEAD_BYTES)))
                if len(heads) >= _FILES:
                    break
    except ZIP_ERRORS:
        return Head(suffix=".zip")
    texts = [head for head in heads if head.lines]
    if texts:
        return _together(texts[0].suffix, texts)
    return heads[0] if heads else Head(suffix=".zip")
