"""WebDataset tar archives: members of one name up to the first dot belong together, a picture and its json or txt.

The json is an object of `polygons`, `texts` and `ignore` (see `grammar.rows`), or a list of such outlines; the txt is
ICDAR's. The picture `a.jpg` of `shard.tar` is called `shard.tar#a.jpg` and is read where it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrmaps import members
from ocrmaps.annotations.discovery.pictures import clean_name, is_picture
from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.formats import icdar
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import decode, refusal
from ocrmaps.annotations.grammar.rows import KNOWN, add_outlines
from ocrmaps.annotations.records import Reading, Source
from ocrmaps.errors import reason
from ocrmaps.limits import MAX_BYTES

SUFFIXES = (".tar",)
_ANNOTATIONS = (".json", ".txt")


def recognize(head: Head) -> str:
    """Why this looks like WebDataset, or nothing."""
    stems: dict[str, set[str]] = {}
    for name in head.start.splitlines() if head.suffix == ".tar" else ():
        stems.setdefault(_key(name), set()).add(_kind(name))
    if any({"picture", "annotation"} <= found for found in stems.values()):
        return "a tar archive of pictures, each with a json or txt of the same name"
    return ""


def _key(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.split(".", 1)[0]


def _kind(name: str) -> str:
    if is_picture(name):
        return "picture"
    return "annotation" if name.lower().endswith(_ANNOTATIONS) else "other"


def stated(path: Path) -> list[str]:
    """Nothing: all pictures lie in the archives."""
    return []


def read(source: Source) -> Reading:
    """The samples of one archive, or of all in a folder, in the order of names and of their members."""
    g = Gather(source)
    with g.attempt():
        for path, name in files_of(g, SUFFIXES):
            with g.attempt():
                _archive(g, path, name)
    return g.reading()


def files_of(g: Gather, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """(file, how messages call it) of the source, sorted by name; refused where its pictures lie outside the folder."""
    root = g.source.annotations
    files = [root]
    if root.is_dir():
        files = sorted(path for path in root.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
        if not files:
            raise refusal(g.file, f"found no {' or '.join(suffixes)} files in this folder", "missing-file")
    for path in files:
        yield path, path.relative_to(root).as_posix() if root.is_dir() else g.file


def inside(g: Gather, path: Path) -> str:
    """The file's own path relative to the picture folder: what the names of its pictures begin with."""
    relative = Path(os.path.relpath(path, g.source.pictures)).as_posix()
    try:
        return clean_name(relative)
    except ValueError:
        hint = "the pictures lie in the file: leave --pictures out, or name a folder above it"
        raise refusal(g.file, f"found the file outside of {g.source.pictures}", "missing-picture", hint) from None


def _archive(g: Gather, path: Path, name: str) -> None:
    try:
        index = members.archived(str(path))
    except FileNotFoundError:
        raise refusal(name, "found no such file", "missing-file") from None
    except OSError as error:
        raise refusal(name, f"found a file that cannot be opened: {reason(error)}", "unreadable-file") from None
    front = inside(g, path)
    pairs: dict[str, dict[str, list[str]]] = {}
    for member in index:
        try:
            if clean_name(member) != member:
                raise ValueError(f"found {member[:200]!r}, expected the plain form {clean_name(member)[:200]!r}")
        except ValueError as error:
            g.problem(f"{name}:{member[:200]}", str(error), "unsafe-path")
            continue
        pairs.setdefault(_key(member), {}).setdefault(_kind(member), []).append(member)
    texts: list[tuple[str, str, str]] = []
    for found in pairs.values():
        g.unused["members that are neither picture nor annotation"] += len(found.get("other", ()))
        pictures, annotations = found.get("picture", []), found.get("annotation", [])
        if not annotations:
            g.unused["pictures without annotation"] += len(pictures)
        elif len(pictures) != 1 or len(annotations) != 1:
            several = f"found {len(pictures)} pictures, {len(annotations)} annotations of one name, expected one each"
            g.problem(f"{name}:{annotations[0]}", several, "ambiguous-picture" if pictures else "missing-picture")
        else:
            with g.attempt():
                place = f"{name}:{annotations[0]}"
                if index[annotations[0]][1] > MAX_BYTES:
                    raise refusal(place, f"found more than {MAX_BYTES} bytes", "too-large")
                text = decode(members.read(str(path), annotations[0]), place)
                texts.append((place, f"{front}#{pictures[0]}", text))
    parse = icdar.decide([text for place, _, text in texts if place.lower().endswith(".txt")])
    for place, picture, text in texts:
        with g.attempt():
            since = len(g.problems)
            if not place.lower().endswith(".txt"):
                _json(g, g.parse_json(text, place), place, picture, since)
                continue
            page = parse(text, place)
            for line, kind, message in page.faults:
                g.problem(f"{place}:{line}", message, kind)
            g.unused.update(page.unused)
            found_lines = GatheredOutlines(page.points, list(page.texts), list(page.ignore))
            found_lines.places = [f"{place}:{line}" for line in page.lines]
            g.page(g.picture(picture, place), place, found_lines, since=since)


def _json(g: Gather, root: Any, place: str, picture: str, since: int) -> None:
    record = {"objects": root} if isinstance(root, list) else root
    if not g.expect(record, dict, place, "an object with polygons"):
        return
    found = GatheredOutlines()
    if record != {"objects": []}:
        add_outlines(g, found, record, place)
    g.unused.update(json.dumps(key, ensure_ascii=False)[:60] for key in record.keys() - KNOWN)
    size = g.size(record.get("height"), record.get("width"), place)
    g.page(g.picture(picture, place), place, found, size=size, since=since)
