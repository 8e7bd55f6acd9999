"""Outlines that belong to no text of their picture: turned or scaled against it, or of another picture altogether."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ocrmaps.annotations import Sample
from ocrmaps.evaluation.audit.faults import TURNS, turned
from ocrmaps.evaluation.audit.odds import CLEAN, common, fit, posterior
from ocrmaps.evaluation.audit.records import BELIEF, PICTURE_KINDS, Evidence
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.metrics.matching import pair_geometry

FITS = 0.5
"""Agreement from which outlines are taken to be those of the picture, whatever else could be tried."""
_UNDO = {
    "turned by 90": "turned by 270",
    "turned by 180": "turned by 180",
    "turned by 270": "turned by 90",
    "scaled by 0.5": "scaled by 2",
    "scaled by 2": "scaled by 0.5",
}
_START = np.array([0.98, 0.01, 0.01])


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOdds:
    """How likely all outlines of a picture are wrong at once."""

    wrong_frame: float
    wrong_page: float
    agreement: float
    """Of the outlines as they are with what the detector sees."""
    remark: str

    @property
    def wrong(self) -> float:
        return self.wrong_frame + self.wrong_page


def agreement(truth: PolygonSet, found: PolygonSet) -> float:
    """Twice the shared area over both areas: 1 where outlines and detections cover the same, however they are cut."""
    geometry = pair_geometry(truth, found)
    total = float(geometry.truth.area.sum() + geometry.detections.area.sum())
    return 2 * float(geometry.overlap.sum()) / total if total else 1.0


def undone(polygons: PolygonSet, size: Size, how: str) -> PolygonSet:
    """The outlines as they were before they were turned or scaled so, in a picture of this size."""
    turned_size = size[::-1] if how in ("turned by 90", "turned by 270") else size
    return turned(polygons, turned_size, _UNDO[how])


def judge_pages(samples: Sequence[Sample], seen: Mapping[str, Evidence], *, seed: int) -> list[PageOdds]:
    """The odds of every picture, learnt on outlines turned, scaled and swapped on purpose."""
    rng = np.random.default_rng(seed)
    found = [seen[s.id].transform.apply(seen[s.id].detections, s.polygons.frame) for s in samples]
    sizes = [seen[s.id].transform.size(s.polygons.frame) for s in samples]
    here = [agreement(s.polygons, f) for s, f in zip(samples, found, strict=True)]
    best = [_best(s.polygons, f, size, h) for s, f, size, h in zip(samples, found, sizes, here, strict=True)]
    mine = np.array([[h, b - h] for h, (b, _) in zip(here, best, strict=True)])
    # What fits is how right ones look; where most do not, the detector does not suit and says nothing.
    rows = mine[mine[:, 0] >= min(FITS, float(np.median(mine[:, 0])))].tolist()
    labels = [CLEAN] * len(rows)
    usable = [i for i, s in enumerate(samples) if len(s.polygons) >= 3 and len(found[i]) >= 3]
    for i in usable:
        for how in TURNS:
            now = agreement(turned(samples[i].polygons, sizes[i], how), found[i])
            rows.append([now, max(here[i] - now, 0.0)])
            labels.append("wrong_frame")
        if len(usable) > 1:
            for j in rng.choice([j for j in usable if j != i], 2).tolist():
                now = agreement(samples[j].polygons, found[i])
                rows.append([now, _best(samples[j].polygons, found[i], sizes[i], now)[0] - now])
                labels.append("wrong_page")
    if not usable:
        return [PageOdds(wrong_frame=0.0, wrong_page=0.0, agreement=h, remark="") for h in here]
    odds = fit(np.array(rows), labels, PICTURE_KINDS, strength=0.01)
    likeness = odds.likeness(mine, PICTURE_KINDS)
    shares = posterior(likeness, common(likeness, _START))
    out = []
    for i in range(len(samples)):
        chance = dict(zip(PICTURE_KINDS, shares[i, 1:].tolist(), strict=True))
        if i not in usable:  # too little to compare
            chance = {}
        # Turned back, outlines fit: that is proof. Fitting nothing can be the detector's own failure, too.
        frame, page = chance.get("wrong_frame", 0.0), BELIEF * chance.get("wrong_page", 0.0)
        remark = ""
        if frame + page > 0.5:
            remark = best[i][1] if frame > page else _owner(samples, i, found)
        out.append(PageOdds(wrong_frame=frame, wrong_page=page, agreement=here[i], remark=remark))
    return out


def _best(truth: PolygonSet, found: PolygonSet, size: Size, here: float) -> tuple[float, str]:
    """The best agreement over all ways to undo, and that way; none is tried where outlines fit already."""
    if here >= FITS:
        return here, ""
    tried = [(agreement(undone(truth, size, how), found), how) for how in TURNS]
    value, how = max(tried, key=lambda pair: pair[0])
    return (value, f"outlines look {how}") if value > here else (here, "")


def _owner(samples: Sequence[Sample], i: int, found: Sequence[PolygonSet]) -> str:
    """The picture whose detections these outlines fit, if one does."""
    fits = [
        (agreement(samples[i].polygons, replace(found[j], frame=samples[i].polygons.frame)), samples[j].id)
        for j in range(len(samples))
        if j != i
    ]
    value, name = max(fits, default=(0.0, ""))
    return f"outlines fit {name}" if value >= FITS else ""
