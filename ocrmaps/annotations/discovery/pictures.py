"""Names of pictures in annotation files, and the files they mean: nothing outside the picture folder is reachable.

Only names are looked at here; no picture is opened.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from ocrmaps import members
from ocrmaps.annotations.records import Sample, Source
from ocrmaps.errors import AnnotationError, Problem
from ocrmaps.tiff import SUFFIXES, count_pages, file_of, has_page

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")
"""What the decoder reads, in lower case; a test holds the two lists together."""

_PLAIN = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_. -]*")
_DRIVE = re.compile(r"[A-Za-z]:")
_ADDRESS = re.compile("(?:https?|s3|gs|azure-blob|file)://|/data/(?:upload|local-files)/", re.IGNORECASE)
_UPLOADED = re.compile("[0-9a-f]{8}-(?=.)")


def clean_name(name: object) -> str:
    """The picture name as an id: relative, forward slashes, no `.` or empty parts. ValueError says what is wrong.

    >>> clean_name("scans\\\\a.jpg"), clean_name("./b.jpg")
    ('scans/a.jpg', 'b.jpg')
    """
    if not isinstance(name, str):
        raise ValueError(f"found {type(name).__name__}, expected a picture name")
    if _PLAIN.fullmatch(name):  # nearly every name
        return name
    slashed = name.replace("\\", "/")
    if "\0" in name:
        raise ValueError("found a NUL character in the picture name")
    if slashed.startswith("/"):
        raise ValueError(f"found the absolute path {name[:200]!r}, expected a name relative to the picture folder")
    if _DRIVE.match(slashed):
        raise ValueError(f"found a drive letter in {name[:200]!r}, expected a name relative to the picture folder")
    parts = [part for part in slashed.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"found '..' in {name[:200]!r}, expected a name inside the picture folder")
    if not parts:
        raise ValueError(f"found {name[:200]!r}, expected a picture name")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"found half a surrogate pair in {name[:200]!r}, expected text") from None
    return "/".join(parts)


def address_ends(name: str) -> list[str]:
    """The picture names that an address of a server or store may mean, longest first; none if it is no address.

    ValueError if it leads upwards. The name without Label Studio's eight letters in front of uploaded files comes last.

    >>> address_ends("s3://bucket/set/0a1b2c3d-a.jpg")
    ['set/0a1b2c3d-a.jpg', '0a1b2c3d-a.jpg', 'a.jpg']
    """
    if not _ADDRESS.match(name):
        return []
    url = urlsplit(name)
    path = parse_qs(url.query).get("d", [""])[0] if url.query.startswith("d=") else unquote(url.path)
    parts = clean_name(path.replace("\\", "/").lstrip("/")).split("/")
    bare = _UPLOADED.sub("", parts[-1], count=1)
    ends = ["/".join(parts[i:]) for i in range(max(0, len(parts) - 16), len(parts))]
    return ends if bare == parts[-1] else [*ends, bare]


def is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


class PictureFolder:
    """What the picture folder holds, listed folder by folder as it is asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._start = os.path.join(self._real, "")
        self._inside: dict[str, bool] = {}
        self._stems: dict[str, dict[str, list[str]]] = {}

    def escapes(self, name: str) -> bool:
        """Whether this (clean) name leads outside the folder through a symbolic link."""
        return self._mode(name) is None

    def finds(self, name: str) -> bool | None:
        """Whether the folder holds what this (clean) name means; None where a symbolic link leads outside."""
        mode = self._mode(name)
        if mode is None:
            return None
        return self.holds(name) if stat.S_ISLNK(mode) or "#" in name else stat.S_ISREG(mode)

    def _mode(self, name: str) -> int | None:
        """What kind of file this is, a link for itself, 0 where there is none; None where it leads outside."""
        name = self._file(name)
        parent = name.rpartition("/")[0]
        inside = self._inside.get(parent)
        if inside is None:
            inside = self._inside[parent] = not parent or self._within(parent)
        if not inside:
            return None
        try:
            mode = os.lstat(self._start + name).st_mode
        except (OSError, ValueError):  # nothing there: nothing to escape through
            return 0
        return None if stat.S_ISLNK(mode) and not self._within(name) else mode

    def _file(self, name: str) -> str:
        """The file that a name means: itself, or the one that it names a page of."""
        try:
            return os.path.relpath(file_of(os.path.join(self._real, name)), self._real) if "#" in name else name
        except ValueError:
            return name

    def _within(self, name: str) -> bool:
        try:
            return os.path.realpath(os.path.join(self._real, name)).startswith(self._start)
        except (OSError, ValueError):
            return True

    def with_stem(self, stem: str) -> list[str]:
        """The pictures called `stem` plus a picture ending, sorted; `stem` may have folders in front."""
        parent, _, last = stem.rpartition("/")
        if parent not in self._stems:
            self._stems[parent] = self._list(parent)
        return [f"{parent}/{name}" if parent else name for name in self._stems[parent].get(last, ())]

    def _list(self, parent: str) -> dict[str, list[str]]:
        stems: dict[str, list[str]] = {}
        try:
            names = sorted(os.listdir(os.path.join(self._real, parent)))
        except (OSError, ValueError):
            return stems
        for name in names:
            if is_picture(name):
                stems.setdefault(os.path.splitext(name)[0], []).append(name)
        return stems

    def holds(self, name: str) -> bool:
        try:
            path = self._start + name
            return os.path.isfile(path) or has_page(path)
        except ValueError:
            return False

    def further_pages(self, name: str) -> list[str]:
        """The names of a TIFF's pages behind the first."""
        if not name.lower().endswith(SUFFIXES):
            return []
        return [f"{name}#{page}" for page in range(2, count_pages(os.path.join(self._real, name)) + 1)]

    def walk(self) -> list[str]:
        """Every picture below the folder, sorted; links to folders are not followed."""
        found: list[str] = []
        for folder, folders, names in os.walk(self._real):
            folders[:] = [name for name in folders if not name.startswith(".")]
            relative = os.path.relpath(folder, self._real).replace(os.sep, "/")
            prefix = "" if relative == "." else f"{relative}/"
            found += [prefix + name for name in names if is_picture(name) and not name.startswith(".")]
        return sorted(found)


def picture_path(source: Source, sample: Sample) -> Path:
    """Where the picture of a sample is; refuses a name that leads outside the picture folder."""
    try:
        name = clean_name(sample.picture)
    except ValueError as error:
        problem = Problem(loc=sample.loc, message=str(error), kind="unsafe-path")
    else:
        if not PictureFolder(source.pictures).escapes(name):
            return source.pictures / name
        problem = Problem(loc=sample.loc, message=_LEAVES.format(name=name), kind="unsafe-path")
    raise AnnotationError(f"the picture of sample {sample.id!r} is refused", problems=[problem])


_LEAVES = "found the symbolic link {name!r} that leads outside the picture folder, expected a file inside it"


def leaves(name: str) -> str:
    """The message for a link that escapes."""
    return _LEAVES.format(name=name)


def _plain(name: str) -> str:
    """What names have in common that tools write differently: capitals, accents, percent signs, the ending.

    >>> _plain("My%20Scan.JPG") == _plain("my scan.png"), _plain("cafe\\u0301.jpg") == _plain("caf\\xe9.jpg")
    (True, True)
    """
    bare = os.path.splitext(name)[0] if is_picture(name) else name
    return unicodedata.normalize("NFC", unquote(bare)).casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Which annotated pictures exist and which pictures nobody annotated."""

    found: int
    """Samples whose picture is a file."""
    missing: tuple[str, ...]
    """Sample ids without a picture."""
    orphans: tuple[str, ...]
    """Pictures in the folder without annotation, sorted, and the further pages of TIFF files."""
    problems: tuple[Problem, ...]
    """`missing-picture` and `unsafe-path` for each sample, one `orphan-picture` with the count for the folder."""


def find_pictures(source: Source, samples: Iterable[Sample]) -> Pictures:
    """Compare what is annotated with what is in the picture folder; no picture is opened.

    Where all pictures lie in archives or tables, those that lie beside these are no pictures of the source.
    """
    folder = PictureFolder(source.pictures)
    problems: list[Problem] = []
    missing: dict[str, str] = {}
    known: set[str] = set()
    found = 0
    present = os.path.isdir(source.pictures)
    for sample in samples:
        known.add(sample.id)
        there = folder.finds(sample.id) if present else False
        if there is None:
            problems.append(Problem(loc=sample.loc, message=leaves(sample.id), kind="unsafe-path"))
        elif there:
            found += 1
        else:
            missing[sample.id] = sample.loc
    loose = present and not (known and all(map(members.split, known)))
    listed = [page for name in folder.walk() for page in (name, *folder.further_pages(name))] if loose else []
    orphans = tuple(name for name in listed if name not in known)
    alike = {_plain(name): name for name in orphans} if missing else {}
    for name, loc in missing.items():
        message = f"found no picture {name!r} in {source.pictures}"
        if meant := alike.get(_plain(name)):
            message += f"; expected its name letter for letter, and {meant!a} is there"
        problems.append(Problem(loc=loc, message=message, kind="missing-picture"))
    if orphans:
        named = ", ".join(orphans[:5]) + (", ..." if len(orphans) > 5 else "")
        message = f"found {len(orphans)} pictures without annotation: {named}"
        problems.append(Problem(loc=str(source.pictures), message=message, kind="orphan-picture"))
    return Pictures(found=found, missing=tuple(missing), orphans=orphans, problems=tuple(problems))
