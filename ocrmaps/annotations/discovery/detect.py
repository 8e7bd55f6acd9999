"""Finds the annotations and the picture folder that a path means, and says why; what is undecidable is an error.

Nothing is decided by the names of folders alone: formats by content, picture folders by the pictures they hold.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ocrmaps import members
from ocrmaps.annotations.discovery.candidates import SUFFIXES, Place, entries, places_in, seen_in, stems_in, subfolders
from ocrmaps.annotations.discovery.pictures import PICTURE_SUFFIXES, PictureFolder, address_ends, clean_name, is_picture
from ocrmaps.annotations.discovery.signs import HEAD_BYTES, Sign
from ocrmaps.annotations.discovery.unsupported import SUFFIXES as UNSUPPORTED_SUFFIXES
from ocrmaps.annotations.discovery.unsupported import UNSUPPORTED
from ocrmaps.errors import AnnotationError, Problem, reason
from ocrmaps.files import leads_outside, read_regular
from ocrmaps.tiff import page_of

_PICTURES = {"img", "imgs", "image", "images", "picture", "pictures", "photo", "photos", "scans", "jpegimages"}
"""Words in the name of a folder that holds pictures: `img`, `ch4_training_images`."""
_ANNOTATIONS = {"annotation", "annotations", "ann", "anns", "gt", "gts", "groundtruth", "label", "labels", "box",
                "boxes", "json", "jsons", "xml", "xmls", "txt", "text", "ufo"}  # fmt: skip
"""Words in the name of a folder that only holds annotations: the pictures are then looked for beside it."""
_WORDS = re.compile("[a-z]+")

_PREFIXES = ("poly_gt_", "gt_", "res_")
_SAMPLE = 24
_PAGE = "#[0-9]{1,9}"
_ENDINGS = rf"(?:(?:{'|'.join(s[1:] for s in PICTURE_SUFFIXES)})(?:{_PAGE})?|(?:parquet|arrow){_PAGE})"
_NAMES = re.compile(rf'"((?:[^"\\\n]|\\.){{1,400}}?\.{_ENDINGS})"', re.IGNORECASE)
_COLUMN = re.compile(rf"^([^\t\n]{{1,400}}\.{_ENDINGS})\t", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What a path turned out to be."""

    format: str
    annotations: Path
    pictures: Path
    reason: str
    """Why this format and why this picture folder, in words."""


def detect_in(
    path: Path, signs: Mapping[str, Sign], *, format: str | None = None, pictures: Path | None = None
) -> Detection:
    """The annotations and pictures of a dataset folder, an annotation folder or an annotation file."""
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # a folder on the way that may not be entered, a NUL
        raise AnnotationError(f"cannot look at {str(path)!r}: {reason(error)}", hint="check the path") from None
    if not exists:
        raise AnnotationError(f"found no file or folder {path}", hint="check the path")
    place = _named(path, signs, format) if format else _only(path, places_in(path, signs), signs)
    _refuse_outside(place.path, path, hint="if you mean these annotations, name them themselves")
    stated = signs[place.format].stated
    if pictures is None and stated and not stated(place.path):
        pictures, why = _home(place.path), "which the files hold themselves"
    elif pictures is None:
        names = stated(place.path) if stated else None
        per_picture = bool(signs[place.format].per_picture) and names is None
        pictures, why = picture_folder(place.path, top=path, per_picture=per_picture, names=names)
        base = next((b for b in _bases(_home(place.path), path) if pictures.is_relative_to(b)), pictures)
        _refuse_outside(pictures, base, hint="if you mean these pictures, name their folder with --pictures")
    elif pictures.is_dir():
        why = "as told"
    else:
        raise AnnotationError(f"found no picture folder {pictures}", hint="check --pictures")
    because = f"{place.format}: {place.reason}; pictures in {pictures}: {why}"
    return Detection(format=place.format, annotations=place.path, pictures=pictures, reason=because)


def _refuse_outside(found: Path, named: Path, *, hint: str) -> None:
    """Refuse what is reached from a folder that was named only through a symbolic link out of it."""
    if leads_outside(found, named):
        where = os.path.realpath(found)
        raise AnnotationError(f"{found} leads through a symbolic link out of {named}, to {where}", hint=hint)


def _home(annotations: Path) -> Path:
    return annotations if annotations.is_dir() else annotations.parent


def _only(path: Path, found: Sequence[Place], known: Iterable[str]) -> Place:
    if len(found) == 1:
        return found[0]
    if not found:
        raise _unknown(path, known)
    problems = [Problem(loc=str(p.path), message=f"{p.format}: {p.reason}", kind="candidate") for p in found]
    raise AnnotationError(
        f"found {len(found)} possible annotations in {path}, expected one",
        problems=problems,
        hint="name one of these paths, or say the format with --format",
    )


class UnknownAnnotationsError(AnnotationError):
    """No reader recognizes what a path holds; `seen` says what that is, by name if it is `named`."""

    def __init__(self, path: Path, seen: str, hint: str, *, named: bool = False) -> None:
        super().__init__(f"no known annotations in {path}: found {seen}", hint=hint)
        self.seen = seen
        self.named = named


def _unknown(path: Path, known: Iterable[str]) -> UnknownAnnotationsError:
    """The error for a path without known annotations: by name where it is a format that is not read."""
    signs = {name: unsupported.sign for name, unsupported in UNSUPPORTED.items()}
    for place in places_in(path, signs, (*SUFFIXES, *UNSUPPORTED_SUFFIXES)):
        if leads_outside(place.path, path):
            continue
        it = UNSUPPORTED[place.format]
        where = f" in {place.path}" if place.path != path else ""
        seen = f"{it.title} (by {place.reason}){where}, which is not read"
        return UnknownAnnotationsError(path, seen, it.advice, named=True)
    hint = f"name the annotation file or folder itself, or say its format with --format: {', '.join(known)}"
    return UnknownAnnotationsError(path, seen_in(path), hint)


def _named(path: Path, signs: Mapping[str, Sign], format: str) -> Place:
    """Where annotations of a format that the user states are; they need not be recognizable."""
    told = "as told"
    if path.is_file():
        return Place(format, path, told)
    found = [place for place in places_in(path, signs) if place.format == format]
    if found:
        return _only(path, found, signs)
    suffixes = signs[format].per_picture
    if suffixes:
        folders = [folder for folder in (path, *subfolders(path)) if _holds(folder, suffixes)]
        if folders and folders[0] == path:
            folders = [path]
        places = [Place(format, folder, told) for folder in folders]
        if not places:
            places = [Place(format, p, told) for p in entries(path) if p.suffix.lower() == ".zip" and p.is_file()]
    else:
        files = [p for p in entries(path) if p.is_file() and p.suffix.lower() in SUFFIXES]
        places = [Place(format, file, told) for file in files]
    if not places:
        expected = " or ".join(suffixes) if suffixes else f"{format} annotations"
        hint = f"expected {expected} files or a zip archive of them: name the annotation file or folder itself"
        raise UnknownAnnotationsError(path, seen_in(path), hint if suffixes else f"name the file that holds {expected}")
    return _only(path, places, signs)


def _holds(folder: Path, suffixes: Sequence[str]) -> bool:
    return any(p.suffix.lower() in suffixes and p.is_file() for p in entries(folder))


def picture_folder(
    annotations: Path, *, top: Path, per_picture: bool, names: Sequence[str] | None = None
) -> tuple[Path, str]:
    """(folder, why): the nearest folder that holds pictures which the annotations name; `names` are some of those."""
    names = list(islice(_names(annotations, per_picture=per_picture) if names is None else names, _SAMPLE))
    home = _home(annotations)
    real = home.resolve()
    inside = f"{real.name}/"  # PPOCRLabel's names begin with the folder that it keeps its file in
    if any(name.startswith(inside) and is_picture(name) for name in names):
        above = real.parent
        count = sum(map(_Holds(above), names))
        if count > sum(map(_Holds(home), names)):
            return above, f"holds {count} of {len(names)} pictures looked for, which are named with the folder {inside}"
    bases = _bases(home, top)
    for base in bases:
        counts = {folder: sum(map(_Holds(folder), names)) for folder in _folders(base, home, annotations)}
        best = max(counts.values(), default=0)
        if best:
            leading = [folder for folder, count in counts.items() if count == best]
            if len(leading) > 1:
                leading = [folder for folder in leading if _named_alike(folder, annotations)] or leading
            if len(leading) > 1:
                _undecidable(annotations, leading, f"holds {best} of {len(names)} pictures looked for")
            return leading[0], f"holds {best} of {len(names)} pictures looked for"
    if names and per_picture and annotations.is_dir() and _only_annotations(home):
        base = real.parent
        near = [base, *(folder for folder in subfolders(base) if _says(folder, _PICTURES))]
        holding = [folder for folder in near if all(map(_Holds(folder), names))]
        if len(holding) == 1:
            return holding[0], f"holds all {len(names)} pictures looked for, beside a folder of annotations alone"
    for base in bases:
        usual = [folder for folder in subfolders(base) if _says(folder, _PICTURES)]
        if len(usual) > 1:
            _undecidable(annotations, usual, "has the name of a picture folder, but holds no picture that is annotated")
        if usual:
            return usual[0], "by its name; none of the annotated pictures is there"
    return home, "the folder of the annotations; no picture was found near it (say where with --pictures)"


def _only_annotations(folder: Path) -> bool:
    """Whether a folder holds files, but neither folders nor pictures: those must be elsewhere."""
    return not any(is_picture(entry.name) or entry.is_dir() for entry in entries(folder))


def _bases(home: Path, top: Path) -> list[Path]:
    """The folders to look in: where the annotations are and above, up to the path that the user named.

    Beyond that only from a folder that is named as holding annotations: a neighboring data set may have other
    pictures of the same names.
    """
    bases = [home]
    real, top = home.resolve(), top.resolve()
    for folder in [real, *real.parents][:4]:
        below = top in folder.parents
        if not below and not _says(folder, _ANNOTATIONS) and not _says(folder.parent, _ANNOTATIONS):
            break
        bases.append(folder.parent)
    return bases


def _says(folder: Path, words: set[str]) -> bool:
    return not words.isdisjoint(_WORDS.findall(folder.name.lower()))


def _undecidable(annotations: Path, folders: Sequence[Path], why: str) -> None:
    raise AnnotationError(
        f"found {len(folders)} folders that could hold the pictures of {annotations}, expected one",
        problems=[Problem(loc=str(folder), message=why, kind="candidate") for folder in folders],
        hint="say which with --pictures",
    )


def _folders(base: Path, home: Path, annotations: Path) -> list[Path]:
    """The base, its folders, and what is inside those with the name of a picture folder (`images/train`).

    Above the annotations only folders count that are named like pictures or like the annotations.
    """
    first = subfolders(base)
    if base != home:
        first = [f for f in first if _says(f, _PICTURES) or _named_alike(f, annotations)]
    inner = [folder for usual in first if _says(usual, _PICTURES) for folder in subfolders(usual)]
    return [base, *first, *inner]


def _named_alike(folder: Path, annotations: Path) -> bool:
    """`train2017` goes with `instances_train2017.json`, `images/train` with `train.json` and with `gt/train`."""
    return len(folder.name) > 1 and folder.name.lower() in annotations.stem.lower()


class _Holds:
    """Whether a folder holds a picture, by full name or by a name without ending."""

    def __init__(self, folder: Path) -> None:
        self._folder = PictureFolder(folder)

    def __call__(self, name: str) -> bool:
        if ends := address_ends(name):
            return any(self._folder.holds(end) for end in ends)
        if is_picture(page_of(name)[0]) or members.split(name):
            return self._folder.holds(name)
        folder, slash, last = name.rpartition("/")
        stems = [last, *(last[len(p) :] for p in _PREFIXES if last.lower().startswith(p))]
        names = [folder + slash + stem for stem in stems]
        return any(self._folder.with_stem(n) or (is_picture(page_of(n)[0]) and self._folder.holds(n)) for n in names)


def _names(annotations: Path, *, per_picture: bool) -> Iterable[str]:
    """Names of pictures that the annotations mention, or names without ending of per-picture files."""
    if per_picture and annotations.suffix.lower() == ".zip" and annotations.is_file():
        yield from stems_in(annotations)
        return
    if per_picture:
        files = entries(annotations) if annotations.is_dir() else [annotations]
        for path in files:
            if path.suffix.lower() in SUFFIXES and not path.is_dir():
                yield path.stem
        return
    try:
        text = read_regular(annotations, HEAD_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return
    for pattern in (_NAMES, _COLUMN):
        for match in pattern.finditer(text):
            try:
                name = match[1] if pattern is _COLUMN else str(json.loads(f'"{match[1]}"'))
                yield name if address_ends(name) else clean_name(name)
            except ValueError:  # refused by the reader, which says where
                continue
