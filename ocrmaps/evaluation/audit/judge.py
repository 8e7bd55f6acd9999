"""The audit: measures of every label, errors put in to learn what they look like, and findings by probability."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ocrmaps.annotations import Sample
from ocrmaps.errors import DataError
from ocrmaps.evaluation.audit.calibration import calibrated
from ocrmaps.evaluation.audit.faults import Faulty, put_in
from ocrmaps.evaluation.audit.odds import CLEAN, Odds, common, fit
from ocrmaps.evaluation.audit.pages import PageOdds, judge_pages
from ocrmaps.evaluation.audit.records import (
    BELIEF,
    KINDS,
    OUTLINE_KINDS,
    AuditResult,
    Evidence,
    LabelFinding,
    PictureScore,
)
from ocrmaps.evaluation.audit.traits import PIECES, SEEN, TRAITS, Pieces, outline_traits, pieces_on, uncovered
from ocrmaps.geometry import BoolArray, FloatArray, IntArray, PolygonSet
from ocrmaps.metrics.matching import PairGeometry, pair_geometry
from ocrmaps.progress import Progress

LEAST = 0.01
"""Findings less likely than this are not listed."""
_RATE = 0.03
_ROWS = 8000
_ROUNDS = 4
_START = 0.005
"""How common each kind is thought to be among outlines before they are looked at."""
_START_MISSING = 0.1
"""The same of text without an outline, among what the detector sees and no outline covers."""
_PARTS = 3
"""Every label is judged by what was learnt on those of other parts: it must not vouch for itself."""
_MANY = 30
"""Pictures from which whole pictures are parted from each other."""
KINDS_OF: Mapping[str, tuple[str, ...]] = {"read": OUTLINE_KINDS, "ignored": OUTLINE_KINDS, "missing": ("missing",)}
"""What can be wrong with outlines that are read, with ignored ones, and with text that has none."""


@dataclass(slots=True)
class _Table:
    """Rows of measures with what they are, over many pictures."""

    columns: int
    rows: list[FloatArray] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)

    def add(self, rows: FloatArray, labels: Sequence[str], parts: IntArray) -> None:
        self.rows.append(rows)
        self.labels += labels
        self.parts += parts.tolist()

    def without(self, part: int) -> tuple[FloatArray, list[str]]:
        """The rows of all other parts."""
        kept = np.flatnonzero(np.array(self.parts, dtype=int) != part)
        rows = np.concatenate([*self.rows, np.zeros((0, self.columns))])
        return rows[kept], [self.labels[int(i)] for i in kept]


def audit(
    samples: Sequence[Sample],
    seen: Mapping[str, Evidence],
    *,
    seed: int = 0,
    belief: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> AuditResult:
    """Judge every label of these samples by the evidence of their pictures; the same input gives the same result.

    `belief` says for kinds of errors which share of what looks like one is one; `BELIEF` elsewhere.
    """
    absent = [sample.id for sample in samples if sample.id not in seen]
    if absent:
        raise DataError(f"found no evidence for {len(absent)} pictures, the first is {absent[0]}")
    pages = judge_pages(samples, seen, seed=seed)
    fine = [sample for sample, odds in zip(samples, pages, strict=True) if odds.wrong <= 0.5]
    measured, likeness = learn(fine, seen, seed=seed, belief=belief or {}, progress=progress)
    odds_of = _together(fine, measured, likeness)
    findings: list[LabelFinding] = []
    pictures: list[PictureScore] = []
    expected = dict.fromkeys(KINDS, 0.0)
    for sample, odds in zip(samples, pages, strict=True):
        mine: list[LabelFinding] = []
        if odds.wrong > LEAST:
            mine.append(_of_page(sample, odds))
            expected["wrong_frame"] += odds.wrong_frame
            expected["wrong_page"] += odds.wrong_page
        hopes, clean = [odds.wrong], 1 - odds.wrong
        if sample.id in measured:
            m, odds_here = measured[sample.id], odds_of[sample.id]
            mine += _of_outlines(sample, seen[sample.id], odds_here.outlines)
            mine += _of_pieces(sample, seen[sample.id], m.pieces, odds_here.pieces)
            for f in mine[1 if odds.wrong > LEAST else 0 :]:
                hopes.append(f.probability)
                clean *= 1 - f.probability
                for kind, share in f.kinds.items():
                    expected[kind] += share
        listed = [f for f in mine if f.probability >= LEAST]
        findings += listed
        pictures.append(
            PictureScore(
                picture=sample.id,
                probability=1 - clean,
                expected=float(sum(hopes)),
                outlines=len(sample.polygons),
                findings=len(listed),
            )
        )
    return AuditResult(
        findings=tuple(sorted(findings, key=lambda f: (-round(f.probability, 9), f.key))),
        pictures=tuple(sorted(pictures, key=lambda p: (-round(p.expected, 9), p.picture))),
        outlines=sum(len(s.polygons) for s in samples),
        expected=expected,
        agreement=float(np.median([odds.agreement for odds in pages])) if pages else 1.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredLabels:
    """The measures of one picture's outlines and of what no outline covers."""

    rows: FloatArray
    ignore: BoolArray
    parts: IntArray
    pieces: Pieces
    piece_parts: IntArray


def _measure(sample: Sample, seen: Evidence, part: int | None) -> MeasuredLabels:
    truth = seen.transform.apply(sample.polygons, "canonical")
    pieces = uncovered(truth, seen)
    return MeasuredLabels(
        rows=outline_traits(truth, seen),
        ignore=truth.ignore,
        parts=_parts(truth, sample.id, part),
        pieces=pieces,
        piece_parts=_parts(pieces.polygons, sample.id, part),
    )


def _parts(polygons: PolygonSet, picture: str, part: int | None) -> IntArray:
    """(k): the part of each outline: that of its picture where there are many pictures, for errors come in company.

    Of few pictures every one is in all parts, or its own habits would look like errors; an outline's place decides, so
    that it stays in its part whatever changes around it.
    """
    if part is not None:
        return np.full(len(polygons), part)
    bounds = polygons.bounds()
    cell = ((bounds[:, :2] + bounds[:, 2:]) / 2 // 16).astype(np.int64)
    return np.asarray(
        (2 * cell[:, 0] + cell[:, 1] + zlib.crc32(picture.encode("utf-8", "surrogatepass")) % _PARTS) % _PARTS
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Odds:
    """The probabilities of one picture."""

    outlines: FloatArray
    """(k, 1 + OUTLINE_KINDS): clean first."""
    pieces: FloatArray
    """(n): that text without an outline is missing one."""


def learn(
    samples: Sequence[Sample],
    seen: Mapping[str, Evidence],
    *,
    seed: int,
    belief: Mapping[str, float],
    progress: Progress | None = None,
) -> tuple[dict[str, MeasuredLabels], dict[str, dict[str, FloatArray]]]:
    """The measures of these samples and what they look like, learnt on errors put into the samples of other parts.

    Looks are told for each of `KINDS_OF` and each picture: clean first, then the kinds, however common they are.
    """
    tables = {"read": _Table(len(TRAITS)), "ignored": _Table(len(TRAITS)), "missing": _Table(len(PIECES))}
    sizes = {s.id: seen[s.id].transform.size(s.polygons.frame) for s in samples}
    outlines = sum(len(s.polygons) for s in samples)
    rounds = int(np.clip(np.ceil(_ROWS / max(outlines, 1)), 1, _ROUNDS))
    rates = dict.fromkeys(("missing", *OUTLINE_KINDS), _RATE) | {"should_ignore": 0.3}
    total, done = len(samples) * (1 + rounds), 0
    measured: dict[str, MeasuredLabels] = {}
    part_of = {s.id: i % _PARTS if len(samples) >= _MANY else None for i, s in enumerate(samples)}
    for sample in samples:
        measured[sample.id] = _measure(sample, seen[sample.id], part_of[sample.id])
        done += 1
        if progress is not None:
            progress(done, total)
    for turn in range(rounds):
        for faulty in put_in(samples, sizes, rates, seed * 1000 + turn + 1):
            _add(tables, faulty, seen[faulty.sample.id], part_of[faulty.sample.id])
            done += 1
            if progress is not None:
                progress(done, total)
    likeness: dict[str, dict[str, FloatArray]] = {name: {} for name in tables}
    for part in range(_PARTS):
        models = {name: _fitted(*table.without(part), belief) for name, table in tables.items()}
        for id, m in measured.items():
            for name, rows, parts in (
                ("read", m.rows[~m.ignore], m.parts[~m.ignore]),
                ("ignored", m.rows[m.ignore], m.parts[m.ignore]),
                ("missing", m.pieces.traits, m.piece_parts),
            ):
                kinds, mine = KINDS_OF[name], parts == part
                table = likeness[name].setdefault(id, np.zeros((len(rows), 1 + len(kinds))))
                table[mine] = _likeness(models[name], rows[mine], kinds)
    return measured, likeness


def _likeness(model: Odds | None, rows: FloatArray, kinds: Sequence[str]) -> FloatArray:
    """Where errors of a sort cannot be put in, or all that could be seen is one, nothing was learnt."""
    if model is not None:
        return model.likeness(rows, kinds)
    return np.tile([1.0, *(1.0 if kinds == ("missing",) else 0.0 for _ in kinds)], (len(rows), 1))


def _together(
    samples: Sequence[Sample], measured: Mapping[str, MeasuredLabels], likeness: Mapping[str, Mapping[str, FloatArray]]
) -> dict[str, _Odds]:
    """The probabilities of every picture, with kinds as common as they are in all of them."""
    looks = {name: looks_of(name, likeness[name]) for name in KINDS_OF}
    out: dict[str, _Odds] = {}
    for sample in samples:
        m = measured[sample.id]
        outlines = np.zeros((len(m.rows), 1 + len(OUTLINE_KINDS)))
        for name, where in (("read", ~m.ignore), ("ignored", m.ignore)):
            outlines[where] = calibrated(likeness[name][sample.id], looks[name], KINDS_OF[name])
        pieces = calibrated(likeness["missing"][sample.id], looks["missing"], KINDS_OF["missing"])[:, 1]
        out[sample.id] = _Odds(outlines=outlines, pieces=pieces)
    return out


def looks_of(name: str, likeness: Mapping[str, FloatArray]) -> FloatArray:
    """How common the kinds of one of `KINDS_OF` look in all pictures, clean first."""
    start = np.full(1 + len(KINDS_OF[name]), _START_MISSING if name == "missing" else _START)
    start[0] = 1 - start[1:].sum()
    return common(np.concatenate([*likeness.values(), np.zeros((0, len(start)))]), start)


def _add(tables: Mapping[str, _Table], faulty: Faulty, seen: Evidence, part: int | None) -> None:
    m = _measure(faulty.sample, seen, part)
    labels = [CLEAN] * len(m.rows)
    for fault in faulty.faults:
        for i in fault.outlines:
            labels[i] = fault.kind
    for name, where in (("read", ~m.ignore), ("ignored", m.ignore)):
        tables[name].add(m.rows[where], [labels[i] for i in np.flatnonzero(where)], m.parts[where])
    lost = [fault.polygon for fault in faulty.faults if fault.polygon is not None]
    gone = PolygonSet.of(lost, frame=faulty.sample.polygons.frame)
    on = pieces_on(seen.transform.apply(gone, "canonical"), m.pieces.polygons)
    tables["missing"].add(m.pieces.traits, ["missing" if i >= 0 else CLEAN for i in on.tolist()], m.piece_parts)


def _fitted(rows: FloatArray, labels: Sequence[str], belief: Mapping[str, float]) -> Odds | None:
    """A model: once to see which clean rows look like errors, then with those counting for less."""
    clean = np.array([label == CLEAN for label in labels], dtype=bool)
    if clean.all() or not clean.any():
        return None
    first = fit(rows, labels, KINDS, steps=40)
    odds = first(rows)
    weight = np.ones(len(rows))
    for i in np.flatnonzero(clean & (odds[:, 0] < 0.5)).tolist():
        weight[i] = max(1 - belief.get(first.kinds[1 + int(odds[i, 1:].argmax())], BELIEF), 0.02)
    return fit(rows, labels, KINDS, weight=weight)


def _of_page(sample: Sample, odds: PageOdds) -> LabelFinding:
    kinds = {"wrong_frame": odds.wrong_frame, "wrong_page": odds.wrong_page}
    return LabelFinding(
        picture=sample.id,
        kind=max(kinds, key=lambda kind: kinds[kind]),
        probability=odds.wrong,
        kinds={kind: share for kind, share in sorted(kinds.items(), key=lambda pair: -pair[1]) if share >= 0.01},
        outline=None,
        others=(),
        polygon=None,
        proposed=(),
        text=None,
        remark=odds.remark,
    )


def _of_outlines(sample: Sample, seen: Evidence, table: FloatArray) -> list[LabelFinding]:
    """One finding for each outline that may be wrong; those that share an error are one finding."""
    polygons = sample.polygons
    wrong = 1 - table[:, 0] if len(table) else np.zeros(0)
    wrong = np.where(table.sum(axis=1) > 0, wrong, 0.0) if len(table) else wrong
    strong = np.flatnonzero(np.asarray(seen.scores) >= SEEN)
    found = seen.transform.apply(seen.detections.select(strong), polygons.frame)
    pairs, twins = pair_geometry(polygons, found), pair_geometry(polygons, polygons)
    on_text = pairs.share_of_truth() > 0.4
    near_detection = (pairs.share_of_detection() > 0.5) | (pairs.iou() > 0.2)
    out: list[LabelFinding] = []
    taken: set[int] = set()
    for i in np.lexsort((np.arange(len(wrong)), -wrong)).tolist():
        if i in taken:
            continue
        kinds = {
            kind: float(share)
            for kind, share in sorted(zip(OUTLINE_KINDS, table[i, 1:], strict=True), key=lambda p: -p[1])
            if share >= 0.001
        }
        if not kinds:
            continue
        kind = next(iter(kinds))
        others: tuple[int, ...] = ()
        if kind == "duplicate":
            mine = (twins.truth_index == i) & (twins.detection_index != i) & (twins.iou() > 0.3)
            others = tuple(sorted(set(twins.detection_index[mine].tolist())))
        elif kind == "split":
            owners = pairs.detection_index[(pairs.truth_index == i) & on_text]
            mine = np.isin(pairs.detection_index, owners) & on_text & (pairs.truth_index != i)
            others = tuple(sorted(set(pairs.truth_index[mine].tolist())))
        others = tuple(j for j in others if j not in taken and int(table[j, 1:].argmax()) == OUTLINE_KINDS.index(kind))
        taken |= {i, *others}
        near = pairs.detection_index[(pairs.truth_index == i) & near_detection]
        if kind == "split":
            near = pairs.detection_index[(pairs.truth_index == i) & on_text]
        elif kind == "shifted" and not near.size:
            near = _beside(i, pairs, near_detection)
        out.append(
            LabelFinding(
                picture=sample.id,
                kind=kind,
                probability=float(wrong[i]),
                kinds=kinds,
                outline=i,
                others=others,
                polygon=polygons[i],
                proposed=() if kind == "spurious" else tuple(found[int(j)] for j in near),
                text=polygons.texts[i],
            )
        )
    return out


def _beside(i: int, pairs: PairGeometry, near: BoolArray) -> IntArray:
    """(1 or none): the text that outline i hardly touches: as large as it, and no other outline's."""
    had = pairs.detection_index[(pairs.truth_index != i) & near]
    times = pairs.detections.area[pairs.detection_index] / pairs.truth.area[i]
    free = (pairs.truth_index == i) & ~np.isin(pairs.detection_index, had) & (times > 0.5) & (times < 2)
    index = np.flatnonzero(free)
    return pairs.detection_index[index[pairs.overlap[index].argsort()[-1:]]]


def _of_pieces(sample: Sample, seen: Evidence, pieces: Pieces, odds: FloatArray) -> list[LabelFinding]:
    placed = seen.transform.apply(pieces.polygons, sample.polygons.frame)
    return [
        LabelFinding(
            picture=sample.id,
            kind="missing",
            probability=float(odds[i]),
            kinds={"missing": float(odds[i])},
            outline=None,
            others=(),
            polygon=placed[i],
            proposed=(placed[i],),
            text=None,
        )
        for i in range(len(odds))
        if odds[i] >= 0.001
    ]
