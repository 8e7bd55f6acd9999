"""Which picture of a data set a prediction means, by its name alone; what could mean two is refused."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ocrmaps.annotations.discovery.pictures import is_picture
from ocrmaps.errors import DataError, Problem
from ocrmaps.tiff import page_of

_FILES = (".txt", ".json", ".csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """What every name means."""

    ids: tuple[str | None, ...]
    """For each name an expected id, or None if it was left out."""
    unknown: tuple[str, ...]
    """Names that no expected picture has, where they may be left out."""
    pages: tuple[str, ...]
    """Names of further pages of files of which only the first page is expected."""


def match_names(names: Sequence[str], expected: Sequence[str], where: str, *, leave_out: bool = False) -> Matched:
    """The expected id that each name means: itself, or the only one of the same path end, file name, or stem.

    >>> match_names(["b.png", "res_c.txt"], ["x/a.png", "x/b.png", "x/c.tif"], "found.json").ids
    ('x/b.png', 'x/c.tif')
    """
    index = _Index(expected)
    stripped = _without_prefix(names, index, where)
    problems: list[Problem] = []
    taken: dict[str, str] = {}
    ids: list[str | None] = []
    unknown: list[str] = []
    pages: list[str] = []
    for name, bare in zip(names, stripped, strict=True):
        fitting = index.of(bare) if bare != name else index.of(name) or index.of(_strip(name))
        if not fitting and any(index.first_page(n) for n in (bare, _strip(name))):
            pages.append(name)
            ids.append(None)
        elif not fitting:
            unknown.append(name)
            ids.append(None)
        elif len(fitting) > 1:
            message = f"found {len(fitting)} pictures that it could mean: {', '.join(fitting[:5])}"
            problems.append(Problem(f"{where}: {name}", f"{message}, expected one", "unknown-picture"))
        elif fitting[0] in taken:
            message = f"found predictions for {fitting[0]} a second time, first as {taken[fitting[0]]}"
            problems.append(Problem(f"{where}: {name}", message, "duplicate-id"))
        else:
            taken[fitting[0]] = name
            ids.append(fitting[0])
    none = bool(names) and not taken and not problems
    if unknown and (none or not leave_out):
        problems += [
            Problem(f"{where}: {name}", "found no such picture in the source", "unknown-picture") for name in unknown
        ]
    if none and pages and not unknown:
        problems += [Problem(f"{where}: {name}", "is a further page, which nobody annotated") for name in pages]
    if problems:
        hint = f"the source has {', '.join(expected[:3])}, ..." if expected else "the source has no pictures"
        if not none and all(p.kind == "unknown-picture" and "no such picture" in p.message for p in problems):
            hint += "; --leave-out-unknown scores the others and lists these"
        raise DataError(
            f"{where}: {len(problems)} of {len(names)} predicted pictures do not belong to the source "
            f"({len(expected)} pictures)",
            problems=problems,
            hint=hint,
        )
    return Matched(ids=tuple(ids), unknown=tuple(unknown), pages=tuple(pages))


class _Index:
    """Expected ids by all that a name may say of them."""

    def __init__(self, expected: Sequence[str]) -> None:
        self._exact = set(expected)
        self._last: dict[str, list[str]] = defaultdict(list)
        self._stem: dict[str, list[str]] = defaultdict(list)
        self._bare: dict[str, list[str]] = defaultdict(list)
        for id in expected:
            last = PurePosixPath(id).name
            file, page = page_of(last)
            stem = os.path.splitext(file)[0] + (f"#{page}" if page > 1 else "")
            self._last[last].append(id)
            self._stem[stem].append(id)
            self._bare[stem.removeprefix("gt_")].append(id)

    def of(self, name: str) -> list[str]:
        """The ids that a name can mean, by the first thing that any of them shares with it."""
        if name in self._exact:
            return [name]
        last = PurePosixPath(name).name
        stems = [last]
        file, page = page_of(last)
        end = os.path.splitext(file)[1].lower()
        if is_picture(file) or end in _FILES:
            stems.append(os.path.splitext(file)[0] + (f"#{page}" if page > 1 else ""))
        fitting = self._last.get(last, [])
        if end in _FILES:  # `a.png.txt` speaks of `a.png`
            fitting = fitting or self._last.get(stems[-1], [])
        for table in (self._stem, self._bare):
            for stem in stems:
                fitting = fitting or table.get(stem, [])
        return fitting if len(fitting) < 2 else _of_one_path(name, fitting)

    def first_page(self, name: str) -> list[str]:
        """The ids whose file a name means a further page of."""
        file, page = page_of(name)
        return self.of(file) if page > 1 else []


def _of_one_path(name: str, fitting: list[str]) -> list[str]:
    """Of several pictures of one file name, those whose folders are the end of the name's, or the other way round."""
    mine = PurePosixPath(name).parent.parts
    shared = {}
    for id in fitting:
        theirs = PurePosixPath(id).parent.parts
        length = min(len(mine), len(theirs))
        if length and mine[-length:] == theirs[-length:]:
            shared[id] = length
    longest = max(shared.values(), default=0)
    return [id for id, length in shared.items() if length == longest] or fitting


def _strip(name: str) -> str:
    """Without the `res_` that result archives put in front of the picture's name."""
    path = PurePosixPath(name)
    bare = path.name.removeprefix("res_")
    return str(path.with_name(bare)) if bare and bare != path.name else name


def _without_prefix(names: Sequence[str], index: _Index, where: str) -> list[str]:
    """The names without `res_` if all of them have it and mean pictures without it; else as they are."""
    bare = [_strip(name) for name in names]
    if not names or any(a == b for a, b in zip(names, bare, strict=True)):
        return list(names)
    plain, cut = ([index.of(name) or index.first_page(name) for name in given] for given in (names, bare))
    if not all(cut):
        return list(names)
    if all(plain) and plain != cut:
        raise DataError(
            f"{where}: {names[0]} can mean {plain[0][0]} and {cut[0][0]}, and so can the others",
            hint="write full picture names, such as the file name with its ending",
        )
    return bare
