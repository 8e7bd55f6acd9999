"""Why a sample has to be drawn: which of its inputs is not what an existing version was drawn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrmaps.store.reader import Reader
from ocrmaps.store.writing.plan import SPLITS, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One sample that differs between a version and what its recipe means now."""

    sample: str
    """Split, source and id."""
    what: str
    """`new`, `removed`, `image`, `annotation`, `text`, or the recipe fields and algorithms, joined by commas."""
    redraw: bool
    """Whether pixels follow; a changed text is stored, but draws nothing."""

    def as_dict(self) -> dict[str, Any]:
        return {"sample": self.sample, "what": self.what, "redraw": self.redraw}


def changes(plan: Plan, base: Reader) -> list[Change]:
    """Every sample of the plan that is not in `base` as it is now, and every one that is only in `base`."""
    sources = base.manifest.written["sources"]
    split, source = base.rows["split"].tolist(), base.rows["source"].tolist()
    old = {(SPLITS[split[i]], sources[source[i]], id): i for i, id in enumerate(base.ids())}
    fields = ", ".join(fields_changed(plan.asked, base.manifest.asked)) or "recipe"
    picture, annotation = base.rows["picture"].tobytes(), base.rows["annotation"].tobytes()
    known = base.rows["fingerprint"].tobytes()
    out = []
    for row in plan.rows:
        i = old.pop(row.key, None)
        if i is None:
            out.append(Change(sample=row.name, what="new", redraw=True))
            continue
        at = slice(32 * i, 32 * i + 32)
        causes = []
        if row.picture.sha != picture[at]:
            causes.append("image")
        if row.annotation != annotation[at]:
            causes.append("annotation" if row.fingerprint != known[at] or causes else "text")
        redraw = row.fingerprint != known[at]
        if redraw and not causes:
            causes.append(fields)
        if causes:
            out.append(Change(sample=row.name, what=", ".join(causes), redraw=redraw))
    names = ("/".join(part for part in key if part) for key in old)
    return out + [Change(sample=name, what="removed", redraw=False) for name in names]


def summary(found: list[Change]) -> dict[str, int]:
    """How many samples changed for each reason."""
    return dict(sorted(Counter(change.what for change in found).items()))


def fields_changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """Dotted names of the recipe fields and algorithms that differ.

    >>> fields_changed({"recipe": {"maps": {"style": "a"}}}, {"recipe": {"maps": {"style": "b"}}})
    ['recipe.maps.style']
    """
    out = []
    for key in sorted(new.keys() | old.keys()):
        if key == "inputs":
            continue
        a, b = new.get(key), old.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            out += [f"{key}.{name}" for name in fields_changed(a, b)]
        elif a != b:
            out.append(key)
    return out
