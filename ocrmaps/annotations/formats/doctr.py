"""docTR labels.json: picture name -> `polygons`, a list of outlines or an object from class to such a list.

There are no texts and no ignore marks. `img_dimensions` is not used, for nothing says whether width or height comes
first; `img_hash` is not checked. Both are counted, and so are the classes.
"""

from __future__ import annotations

from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import step
from ocrmaps.annotations.records import Reading, Source


def recognize(head: Head) -> str:
    """Why this looks like docTR labels, or nothing."""
    if isinstance(head.json, dict) and head.json:
        first = next(iter(head.json.values()))
        if isinstance(first, dict) and ("polygons" in first or "img_hash" in first):
            return 'json from picture name to an object with "polygons"'
    return ""


def read(source: Source) -> Reading:
    """The samples of one labels.json, in file order; classes of one picture follow each other."""
    g = Gather(source)
    with g.attempt():
        for _, name, entry in g.members(dict, "an object from picture name to labels", ids=""):
            _entry(g, str(name), entry)
    return g.reading()


def _entry(g: Gather, name: str, entry: Any) -> None:
    since = len(g.problems)
    loc = f"{g.file}:{step('', name)}"
    if not g.expect(entry, dict, loc, 'an object with "polygons"'):
        return
    g.unused.update(key for key in entry if key != "polygons")
    polygons = entry.get("polygons")
    groups: dict[str, Any] = {f"{loc}.polygons": polygons}
    if isinstance(polygons, dict):
        groups = {step(f"{loc}.polygons", label): outlines for label, outlines in polygons.items()}
    found = GatheredOutlines()
    for place, outlines in groups.items():
        if g.expect(outlines, list, place, "a list of outlines"):
            g.unused["class"] += len(outlines) if isinstance(polygons, dict) else 0
            for i, outline in enumerate(outlines):
                found.add(f"{place}[{i}]", outline)
    g.page(g.picture(name, loc), loc, found, since=since)
