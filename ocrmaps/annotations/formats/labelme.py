"""LabelMe json: one file a picture with `shapes`, of which polygons and rectangles are outlines of text.

The text is a shape's `description`; its `label` is a class, and `ignore`, `###` and the like mean ignore, as does a
true flag of that name. Other shapes are refused by name: a circle or a line is no outline.
"""

from __future__ import annotations

import posixpath
from contextlib import suppress
from typing import Any

from ocrmaps.annotations.discovery.pictures import clean_name
from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import decode, shown
from ocrmaps.annotations.grammar.documents import documents
from ocrmaps.annotations.grammar.lines import box
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".json",)
IGNORE = ("ignore", "ignored", "illegible", "dontcare", "don't care", "dont_care", "###", "*")
_ROOT = {"shapes", "imagePath", "imageHeight", "imageWidth"}
_SHAPE = {"label", "points", "shape_type", "description", "flags"}


def recognize(head: Head) -> str:
    """Why this looks like LabelMe, or nothing."""
    if isinstance(head.json, dict) and isinstance(head.json.get("shapes"), list):
        return 'json with "shapes"'
    return ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    g = Gather(source)
    with g.attempt():
        for document in documents(g, SUFFIXES):
            with g.attempt():
                root = g.parse_json(decode(document.read(), document.name), document.name)
                if g.expect(root, dict, document.name, 'an object with "shapes" and "imagePath"'):
                    _picture(g, root, document.name)
    return g.reading()


def _picture(g: Gather, root: dict[str, Any], loc: str) -> None:
    since = len(g.problems)
    found = GatheredOutlines()
    g.unused.update(key for key in root if key not in _ROOT and root[key])
    what = "an object with label, points and shape_type"
    for place, shape in g.rows(root.get("shapes"), f"{loc}:shapes", what, of="a list of shapes"):
        outline = _outline(g, shape, place)
        if outline is None:
            continue
        marked = _marked(shape)
        g.unused["label"] += not marked and shape.get("label") is not None
        g.unused.update(f"shape {key}" for key in shape if key not in _SHAPE and shape[key] is not None)
        # LabelMe writes "" where nobody described the shape
        found.add(f"{place}.points", outline, shape.get("description") or None, ignore=marked)
    size = g.size(root.get("imageHeight"), root.get("imageWidth"), loc)
    g.page(_id(g, root.get("imagePath"), loc), loc, found, size=size, since=since)


def _outline(g: Gather, shape: dict[str, Any], place: str) -> Any:
    kind = shape.get("shape_type", "polygon")
    points = shape.get("points")
    if kind == "polygon":
        return points
    if kind not in ("rectangle", "rotation"):
        message = f"found a shape of type {shown(kind)}, expected a polygon or a rectangle; redraw or remove it"
        g.problem(f"{place}.shape_type", message, "unsupported-shape")
        return None
    if isinstance(points, list) and len(points) == 2 and kind == "rectangle":
        corners = [v for p in points if isinstance(p, list) and len(p) == 2 for v in p]
        if len(corners) == 4 and {type(v) for v in corners} <= {int, float}:
            (x0, x1), (y0, y1) = sorted(corners[::2]), sorted(corners[1::2])
            return box(x0, y0, x1, y1)
    if isinstance(points, list) and len(points) == 4:
        return points
    g.problem(f"{place}.points", f"found {shown(points)}, expected 2 corners or 4 points of a rectangle", "wrong-type")
    return None


def _marked(shape: dict[str, Any]) -> bool:
    flags = shape.get("flags")
    flagged = isinstance(flags, dict) and any(value is True and _means_ignore(name) for name, value in flags.items())
    return flagged or _means_ignore(shape.get("label"))


def _means_ignore(name: object) -> bool:
    return isinstance(name, str) and name.strip().lower() in IGNORE


def _id(g: Gather, name: object, loc: str) -> str | None:
    """The picture relative to the picture folder. LabelMe states it relative to the json file, often as `../img/a.jpg`.

    A path with `..` is followed from the json file and must end inside the picture folder; any other name is taken
    from the picture folder, in the json file's own subfolder.
    """
    folder = posixpath.dirname(loc)
    if not isinstance(name, str):
        return g.picture(name, f"{loc}:imagePath")
    slashed = name.replace("\\", "/")
    if slashed.startswith("../") and g.source.annotations.suffix.lower() != ".zip":
        root = g.source.annotations if g.source.annotations.is_dir() else g.source.annotations.parent
        whole = posixpath.normpath(posixpath.join(root.resolve().as_posix(), folder, slashed))
        inside = posixpath.join(g.source.pictures.resolve().as_posix(), "")
        if whole.startswith(inside):
            return g.picture(whole[len(inside) :], f"{loc}:imagePath")
    elif folder:
        with suppress(ValueError):  # a name that is refused is reported below, as it stands
            return g.picture(f"{folder}/{clean_name(name)}", f"{loc}:imagePath")
    return g.picture(name, f"{loc}:imagePath")
