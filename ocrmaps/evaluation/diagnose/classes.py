"""Kinds of text that are missed much more often than the rest: by height, length, direction, place and page.

The expected score is what finding them as often as the rest would give.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ocrmaps.evaluation.diagnose.records import Cure, Pages, matches_of
from ocrmaps.geometry import BoolArray, FloatArray
from ocrmaps.metrics.iou import IouCounts

RARER = 0.6
"""A kind is missed when its recall is below this share of the recall of the rest."""
SURE = 4.0
"""Standard deviations that a difference has to be away from chance: many kinds are compared."""
NEARLY = 0.93
"""Of the surest kind, how sure a plainer one has to be to be named instead."""
LEAST = 6
"""Texts that a kind has to have."""
CUTS = 24
"""Values of a measure that kinds are told apart at."""
KINDS_OF_TEXT = 3
"""Kinds that are named at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts:
    """All scored texts of all pages."""

    hit: BoolArray
    page: FloatArray
    measures: dict[str, FloatArray]
    counts: IouCounts


def missed_kinds(pages: Pages, iou: float) -> Iterator[Cure]:
    """Empty pages, then kinds of text from the surest on; a kind only counts for texts that are in no surer one."""
    texts = _gather(pages, iou)
    if not len(texts.hit):
        return
    left = np.ones(len(texts.hit), dtype=np.bool_)
    empty = [n for n, page in enumerate(pages) if not len(page.found) and (texts.page == n).any()]
    if empty:
        found = _kind(texts, left, _empty_pages(pages, empty, texts))
        if found is not None:
            yield found.cure
            left &= ~found.kind.member
    for _ in range(KINDS_OF_TEXT):
        known = [found for kind in _kinds(texts) if (found := _kind(texts, left, kind)) is not None]
        known = [found for found in known if found.sure >= SURE]
        if not known:
            return
        most = max(found.sure for found in known)
        surest = next(found for found in known if found.sure >= NEARLY * most)  # the plainer measures come first
        yield surest.cure
        left &= ~surest.kind.member


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """Some of the texts, by name."""

    name: str
    what: str
    member: BoolArray
    values: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Missed:
    """A kind that is missed more often than the rest, and how many standard deviations that is away from chance."""

    kind: _Kind
    cure: Cure
    sure: float


def _gather(pages: Pages, iou: float) -> _Texts:
    hit, at, rows = [], [], []
    counts = IouCounts()
    for number, (page, match) in enumerate(zip(pages, matches_of(pages, iou), strict=True)):
        counts += match.counts(iou)
        care = match.truth_care
        hit.append((match.layer(iou) >= 0)[care])
        sides, bounds = page.truth.equivalent_sides(), page.truth.bounds()
        middle = (bounds[:, :2] + bounds[:, 2:]) / 2
        longest = _longest(page.truth.points, page.truth.next_points(), page.truth.offsets)
        rows.append(np.column_stack([sides, middle / np.array([page.size[1], page.size[0]]), longest])[care])
        at.append(np.full(int(care.sum()), number))
    table = np.concatenate(rows) if rows else np.zeros((0, 5))
    measures = {
        "height": table[:, 0],
        "aspect": table[:, 1] / np.maximum(table[:, 0], 1e-9),
        "x": table[:, 2],
        "y": table[:, 3],
        "angle": table[:, 4],
    }
    return _Texts(
        hit=np.concatenate(hit) if hit else np.zeros(0, dtype=np.bool_),
        page=np.concatenate(at) if at else np.zeros(0),
        measures=measures,
        counts=counts,
    )


def _longest(points: FloatArray, following: FloatArray, offsets: object) -> FloatArray:
    """(k): degrees of the longest side from horizontal, 0 to 90; that is where a text runs."""
    step = following - points
    length = np.hypot(step[:, 0], step[:, 1])
    angle = np.degrees(np.arctan2(np.abs(step[:, 1]), np.abs(step[:, 0])))
    ends = np.asarray(offsets)
    return np.array(
        [float(angle[a + int(np.argmax(length[a:b]))]) if b > a else 0.0 for a, b in pairwise(ends.tolist())]
    )


def _empty_pages(pages: Pages, empty: list[int], texts: _Texts) -> _Kind:
    unnamed = sum(not pages[n].named for n in empty)
    names = ", ".join(pages[n].id for n in empty[:3]) + (", ..." if len(empty) > 3 else "")
    said = f"{unnamed} of them not named in the predictions" if unnamed else "though the predictions name them"
    return _Kind(
        name="empty-pages",
        what=f"{len(empty)} of {len(pages)} pictures have no detection at all, {said} ({names}); of their texts",
        member=np.isin(texts.page, empty),
        values={"pictures": [pages[n].id for n in empty], "unnamed": unnamed},
    )


def _kinds(texts: _Texts) -> Iterator[_Kind]:
    measures = texts.measures
    angle, long = measures["angle"], measures["aspect"] > 1.5
    for word, member in (("vertical", angle > 60), ("slanted", (angle > 15) & (angle <= 60))):
        yield _Kind(name="missed-direction", what=f"of {word} texts", member=member & long, values={"direction": word})
    yield from _ends("missed-height", measures["height"], "of texts {} than {:.3g} px", ("lower", "higher"))
    yield from _ends(
        "missed-aspect", measures["aspect"], "of texts {} than {:.2g} times their height", ("shorter", "longer")
    )
    for name, words in (("x", ("left", "right")), ("y", ("top", "bottom"))):
        yield from _ends("missed-place", measures[name], "of texts in the {} {:.0%} of the page", words)


def _ends(name: str, values: FloatArray, what: str, words: tuple[str, str]) -> Iterator[_Kind]:
    """The texts below some value, and those from it on, for values all over the range."""
    for cut in np.unique(np.quantile(values, np.linspace(0.04, 0.96, CUTS), method="nearest")).tolist():
        for above, member in ((False, values < cut), (True, values >= cut)):
            said = what.format(words[above], 1 - cut if above and name == "missed-place" else cut)
            yield _Kind(name=name, what=said, member=member, values={"from" if above else "below": cut})


def _kind(texts: _Texts, left: BoolArray, kind: _Kind) -> _Missed | None:
    inside, rest = texts.hit[kind.member & left], texts.hit[~kind.member & left]
    if len(inside) < LEAST or len(rest) < max(LEAST, len(inside) / 2):
        return None
    mine, theirs = float(inside.mean()), float(rest.mean())
    both = (inside.sum() + rest.sum()) / (len(inside) + len(rest))
    deviation = float(np.sqrt(max(both * (1 - both), 1e-9) * (1 / len(inside) + 1 / len(rest))))
    if mine >= RARER * theirs:
        return None
    more = round(theirs * len(inside) - inside.sum())
    cure = Cure(
        kind=kind.name,
        wrong=f"{kind.what}, {int(inside.sum())} of {len(inside)} are found; of all others {theirs:.0%}",
        change=_CHANGES[kind.name],
        counts=replace(
            texts.counts, matched=texts.counts.matched + more, detection_care=texts.counts.detection_care + more
        ),
        values={**kind.values, "texts": len(inside), "recall": mine, "recall_of_others": theirs},
    )
    return _Missed(kind=kind, cure=cure, sure=(theirs - mine) / deviation)


_CHANGES = {
    "empty-pages": "run the system on these pictures; a crash, a skipped batch or a file name is behind it",
    "missed-height": "look at the pages at a scale where these texts have the height that the network learnt",
    "missed-aspect": "look for a filter by size or side, for windows that cut texts, and for such texts in training",
    "missed-direction": "train with rotated texts, or look at the page turned as well",
    "missed-place": "look for a crop, a margin or a tile that is left out there",
}
