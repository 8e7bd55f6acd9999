"""What two runs do not share: settings by dotted key, and whatever makes their numbers incomparable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ocrmaps.training.differences import Difference, differences
from ocrmaps.training.folder import RunFolder

REFUSALS: dict[str, str] = {
    "budget": "steps and samples that were learnt from",
    "data": "stored bytes, and which splits are learnt from and validated on",
    "evaluation": "how maps are read and how predictions are scored",
}
"""What must be the same, and what each word means."""


def unlikeness(a: RunFolder, b: RunFolder, tables: Sequence[Any]) -> Iterator[tuple[str, tuple[Difference, ...]]]:
    """Each word of `REFUSALS` with what differs there; `tables` are both evaluations, None where there is none."""
    budget = [Difference(key=k, a=a.budget[k], b=b.budget[k]) for k in a.budget if a.budget[k] != b.budget[k]]
    yield "budget", tuple(budget)
    data = [Difference(key="root digest", a=a.root_digest, b=b.root_digest)] if _roots_differ(a, b) else []
    for key in ("train", "val"):
        left, right = (run.settings.get("data", {}).get(key) for run in (a, b))
        if left != right:
            data.append(Difference(key=f"data.{key}", a=left, b=right))
    splits = [{"stores": list(map(_splits, run.settings.get("data", {}).get("stores", ())))} for run in (a, b)]
    data += differences(splits[0], splits[1], "data.")
    yield "data", tuple(data)
    left, right = (run.settings.get("extract", {}) for run in (a, b))
    evaluation = list(differences(left, right, "extract."))
    if all(t is not None for t in tables):
        for key, name in (("thresholds", "evaluated at IoU"), ("frame", "evaluated in frame")):
            left, right = (t.result.get(key) for t in tables)
            if left != right:
                evaluation.append(Difference(key=name, a=left, b=right))
        stores = [t.result.get("identity", {}).get("store", {}) for t in tables]
        left, right = ({k: store.get(k) for k in ("root_digest", "split")} for store in stores)
        evaluation += differences(left, right, "evaluated on ")
        definitions = [{name: p.get("definition") for name, p in t.result.get("protocols", {}).items()} for t in tables]
        evaluation += differences(definitions[0], definitions[1], "protocols.")
        names = [{row["picture"] for row in t.images} for t in tables]
        if names[0] != names[1]:
            evaluation.append(
                Difference(
                    key="evaluated pictures",
                    a=f"{len(names[0])}, {len(names[0] - names[1])} of them not in the other",
                    b=f"{len(names[1])}, {len(names[1] - names[0])} of them not in the other",
                )
            )
    yield "evaluation", tuple(evaluation)


def _splits(store: Mapping[str, Any]) -> dict[str, Any]:
    return {name: store.get(name) for name in ("train", "val")}


def _roots_differ(a: RunFolder, b: RunFolder) -> bool:
    # A digest that nobody wrote down proves nothing.
    return a.root_digest is None or b.root_digest is None or a.root_digest != b.root_digest


def said(value: Any) -> str:
    """A setting for people; of a digest its start."""
    if value is None:
        return "none"
    text = str(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text
