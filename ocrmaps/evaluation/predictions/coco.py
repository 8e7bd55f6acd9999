"""COCO: the result list of `{image_id, category_id, bbox or segmentation, score}`, and whole files with scores.

In a list the ids mean what the `images` of the ground truth's COCO file say, or each object has a `file_name`. Classes
are not compared. An outline of several parts is one detection a part, all of the same score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ocrmaps.annotations.formats.coco import add_row
from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.errors import AnnotationError
from ocrmaps.evaluation.predictions.contents import Leaf, only
from ocrmaps.evaluation.predictions.records import Found
from ocrmaps.geometry import Size

_KEYS = ("image_id", "bbox", "segmentation")
Images = Mapping[str, str]
"""Picture id, as text -> file name."""


def recognize(leaves: Sequence[Leaf]) -> bool:
    leaf = only(leaves)
    if leaf is None:
        return False
    root = leaf.root
    if isinstance(root, list):
        return not root or (isinstance(root[0], dict) and any(key in root[0] for key in _KEYS))
    if not isinstance(root, dict) or "file_name" in root:  # one line of MMOCR 0.x has a file name
        return False
    return any(isinstance(root.get(key), list | dict) for key in ("annotations", "anns", "imgs")) or isinstance(
        root.get("images"), list
    )


def read(found: Found, leaves: Sequence[Leaf], images: Path | None = None, *, leave_out_unknown: bool = False) -> None:
    """One file, or several parts of a result list; `images` is the COCO file that says what picture ids mean.

    Ids that it does not have are problems, or pictures that nobody knows where those are left out.
    """
    for leaf in leaves:
        root, file, sizes, own = leaf.root, leaf.name, dict[str, Size](), False
        table: Images | None = None
        if isinstance(root, list):
            rows = [(f"{file}:[{i}]", row) for i, row in enumerate(root)]
        elif found.expect(root, dict, file, "a list of results, or an object with images and annotations"):
            short = "imgs" in root or "anns" in root
            rows = _rows(found, root, "anns" if short else "annotations", file)
            own = ("imgs" if short else "images") in root
            if own:
                table, sizes = _table(found, _rows(found, root, "imgs" if short else "images", file))
        else:
            continue
        if not own and images is not None and rows:
            table = image_names(images)
        aside = leave_out_unknown and not own and table is not None
        _pictures(found, rows, table, sizes, named=own, aside=aside, file=file)


def image_names(path: Path) -> dict[str, str]:
    """What the picture ids of a COCO file mean; an id that means two pictures is refused."""
    found = Found(path)
    file = path.name
    root = found.json(path, file)
    short = isinstance(root, dict) and "imgs" in root
    if found.expect(root, dict, file, 'an object with "images"'):
        table, _ = _table(found, _rows(found, root, "imgs" if short else "images", file))
    if found.problems:
        raise AnnotationError(f"{file} does not say which pictures its ids mean", problems=found.problems)
    return table


def _rows(found: Found, root: dict[str, Any], name: str, file: str) -> list[tuple[str, Any]]:
    table, loc = root.get(name), f"{file}:{name}"
    if isinstance(table, dict):
        return [(f"{loc}.{key}", row) for key, row in table.items()]
    return [(f"{loc}[{i}]", row) for i, row in enumerate(table)] if found.expect(table, list, loc, "a list") else []


def _table(found: Found, rows: Sequence[tuple[str, Any]]) -> tuple[dict[str, str], dict[str, Size]]:
    names: dict[str, str] = {}
    sizes: dict[str, Size] = {}
    for loc, row in rows:
        if not found.expect(row, dict, loc, "an object"):
            continue
        key, name = row.get("id"), found.picture(row.get("file_name"), f"{loc}.file_name")
        if type(key) not in (int, str):
            found.problem(f"{loc}.id", f"found {shown(key)}, expected a number or a string", "wrong-type")
        elif str(key) in names:
            found.problem(f"{loc}.id", f"found picture id {shown(key)} a second time", "duplicate-id")
        elif name is not None:
            names[str(key)] = name
            size = found.size(row.get("height"), row.get("width"), loc)
            if size is not None:
                sizes[name] = size
    return names, sizes


def _pictures(
    found: Found,
    rows: Sequence[tuple[str, Any]],
    table: Images | None,
    sizes: Mapping[str, Size],
    *,
    named: bool,
    aside: bool,
    file: str,
) -> None:
    """`named`: the file names its own pictures, and those without a row have no detection."""
    owned: dict[str, list[tuple[str, Any]]] = {name: [] for name in (table or {}).values()} if named else {}
    unknown: Counter[str] = Counter()
    first: dict[str, str] = {}
    for loc, row in rows:
        if not found.expect(row, dict, loc, "an object with image_id"):
            continue
        name = _name(found, row, table, loc)
        if name is None and aside and type(row.get("image_id")) in (int, str):
            name = f"image_id {shown(row['image_id'])}"
        if name is None:
            key = shown(row.get("image_id"))
            unknown[key] += 1
            first.setdefault(key, loc)
        else:
            owned.setdefault(name, []).append((loc, row))
    for key, number in unknown.items():
        known = f"expected one of {len(table)} ids" if table else "and nothing that says which picture it is"
        message = f"found image_id {key} ({number} rows), {known}"
        if table:
            message += f" such as {', '.join(list(table)[:5])}"
        found.problem(first[key], message, "unknown-picture")
    for name, mine in owned.items():
        _picture(found, name, mine, sizes.get(name), file)


def _name(found: Found, row: dict[str, Any], table: Images | None, loc: str) -> str | None:
    if row.get("file_name") is not None:
        return found.picture(row["file_name"], f"{loc}.file_name")
    key = row.get("image_id")
    if type(key) is float and key.is_integer():
        key = int(key)
    if type(key) not in (int, str):
        return None
    if table is not None and str(key) in table:
        return table[str(key)]
    # Some writers put the name itself where the id belongs.
    return found.picture(key, loc) if isinstance(key, str) and not key.isdigit() else None


def _picture(found: Found, name: str, rows: Sequence[tuple[str, Any]], size: Size | None, file: str) -> None:
    part = GatheredOutlines()
    before = len(found.problems)
    for loc, row in rows:
        found.unused.update(add_row(found, part, row, loc))
    found.page(name, rows[0][0] if rows else file, part, size=size, since=before)
