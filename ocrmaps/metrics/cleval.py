"""CLEval: how many characters were found and read, with a price for splitting and merging.

Each truth is spread into characters along its spine. A detection that holds some of them takes part if enough of
its area (30 %) lies on text. Recall counts characters held by at least one detection, precision the characters a
detection holds, shared where several hold the same one; each further piece of a truth and each further truth in a
detection costs one character. Detections that lie on ignored truths and on no scored one are not scored. Outlines
are cut to whole pixels before areas are compared, as in the reference.

End to end, the same with characters that are also read correctly; only where every scored text is known.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from ocrmaps.errors import SpecError
from ocrmaps.geometry import BoolArray, IntArray, PolygonSet
from ocrmaps.metrics import characters, cleval_pairs, transcripts
from ocrmaps.metrics.bands import as_bands
from ocrmaps.metrics.candidates import candidate_pairs
from ocrmaps.metrics.matching import measured_whole, same_frame
from ocrmaps.settings.ranges import AtLeast0, Range, check

SCALE_BINS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.1, 0.5, 1.0)
"""Text height over the longer side of the picture; both edges of a bin belong to it, as in the reference."""
UNREAD = "###"
"""A detected text that says it was not read: it stands for as many `#` as its guessed length."""

# Cutting to whole pixels moves a point by less than one: with these margins no character and no area is lost.
_MARGIN = np.array([-1.0, -1.0, 1.0, 1.0])
_WIDE = 2 * _MARGIN

_Area = Annotated[float, Range(gt=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClevalRule:
    """The protocol's constants."""

    area_precision: _Area = 0.3
    split_price: AtLeast0 = 1.0
    merge_price: AtLeast0 = 1.0
    vertical_aspect: AtLeast0 = characters.VERTICAL_ASPECT
    case_sensitive: bool = True
    use_texts: bool = True
    """False: lengths are guessed for every truth and nothing is scored end to end."""

    def __post_init__(self) -> None:
        check(self, "cleval")


CLEVAL = ClevalRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClevalCounts:
    """Characters of one picture, or of many added up. Scores never fall below 0; sums may, before they are divided."""

    recall_sum: float = 0.0
    recall_total: float = 0.0
    precision_sum: float = 0.0
    precision_total: float = 0.0
    read_recall_sum: float = 0.0
    read_precision_sum: float = 0.0
    read_precision_total: float = 0.0
    splits: int = 0
    """Truths in several pieces."""
    merges: int = 0
    """Detections over several truths."""
    overlaps: int = 0
    """Characters held once too often, counted each time."""
    truth_care: int = 0
    truth_ignored: int = 0
    truth_invalid: int = 0
    """No polygon. Crossing or flat outlines stay in the score, as in the reference; those of fewer than three points,
    or too far away for any area, do not."""
    detection_care: int = 0
    detection_ignored: int = 0
    detection_invalid: int = 0
    unread_pictures: int = 0
    """Pictures that are not scored end to end: a scored text is not known, or texts are not used."""

    def __add__(self, other: ClevalCounts) -> ClevalCounts:
        return ClevalCounts(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})

    @property
    def recall(self) -> float:
        return _score(self.recall_sum, self.recall_total)

    @property
    def precision(self) -> float:
        return _score(self.precision_sum, self.precision_total)

    @property
    def hmean(self) -> float:
        return _hmean(self.recall, self.precision)

    @property
    def read_recall(self) -> float | None:
        """End to end; None where texts are not known."""
        return None if self.unread_pictures else _score(self.read_recall_sum, self.recall_total)

    @property
    def read_precision(self) -> float | None:
        return None if self.unread_pictures else _score(self.read_precision_sum, self.read_precision_total)

    @property
    def read_hmean(self) -> float | None:
        recall, precision = self.read_recall, self.read_precision
        return None if recall is None or precision is None else _hmean(recall, precision)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClevalMatch:
    """One picture: its counts, and who took part with whom."""

    counts: ClevalCounts
    truth_care: BoolArray
    detection_care: BoolArray
    length: IntArray
    """(truths): characters, given or guessed."""
    found: IntArray
    """(truths): characters held by at least one matched detection."""
    pieces: IntArray
    """(truths): matched detections; 0 missed, 2 and more split."""
    merged: IntArray
    """(detections): matched truths; 0 false alarm or not scored, 2 and more merged."""
    pairs: IntArray
    """(n, 2): matched truth and detection."""


def match_cleval(truth: PolygonSet, detections: PolygonSet, *, rule: ClevalRule = CLEVAL) -> ClevalMatch:
    """Score one picture.

    >>> line = PolygonSet.of([[(0, 0), (50, 0), (50, 9), (0, 9)]], frame="raw", texts=["hello"])
    >>> halves = [[(0, 0), (25, 0), (25, 9), (0, 9)], [(25, 0), (50, 0), (50, 9), (25, 9)]]
    >>> counts = match_cleval(line, PolygonSet.of(halves, frame="raw", texts=["he", "lxo"])).counts
    >>> counts.recall, counts.precision, counts.read_recall, counts.read_precision, counts.splits
    (0.8, 1.0, 0.6, 0.8, 1)
    """
    return _match(truth, detections, rule, truth.ignore)


def _match(truth: PolygonSet, detections: PolygonSet, rule: ClevalRule, wordless: BoolArray) -> ClevalMatch:
    """`match_cleval` where the length of `wordless` truths is guessed, whatever their text."""
    same_frame(truth, detections)
    whole, usable, broken = measured_whole(truth)
    found, found_usable, found_broken = measured_whole(detections)
    written = [-1 if text is None or not rule.use_texts else len(text) for text in truth.texts]
    lines = as_bands(truth)
    lengths, middles, starts = characters.placed(
        lines.points, lines.offsets, characters.level_boxes(lines), rule.vertical_aspect,
        np.array(written, dtype=np.int64), wordless, usable,
    )  # fmt: skip
    guess, charge = characters.sized(detections.points, detections.offsets, characters.level_boxes(detections))

    care = usable & ~truth.ignore
    rows, columns = candidate_pairs(whole.bounds + _WIDE, usable, found.bounds + _MARGIN, found_usable)
    share = cleval_pairs.shares(whole, found, rows, columns)
    flags, begins, holds = characters.characters_inside(
        middles, starts, found.points, detections.offsets, found.bounds, rows, columns
    )

    limit = rule.area_precision
    detection_care = found_usable & ~cleval_pairs.on_ignored(whole, found, rows, columns, share, holds, care, limit)
    match = cleval_pairs.taking_part(rows, columns, share, holds, care, detection_care, limit)
    (rows, columns, flags, begins, pairs), (known, pieces, merged), prices, sums, outlines = cleval_pairs.counted(
        match, rows, columns, flags, begins, starts, lengths,
        truth.ignore, care, found_usable, detection_care, charge,
    )  # fmt: skip
    splits, merges, further, more = prices
    recalled, wanted, held, overlaps, right = sums
    scored, ignored, used, other = outlines
    split_price, merge_price = rule.split_price * further, rule.merge_price * more
    read: dict[str, float] = {}
    if rule.use_texts and _all_known(truth, care) and _all_known(detections, detection_care):
        texts = _read_as(detections, guess)
        spelled, spelled_by = _read(truth, texts, rows, columns, flags, begins, rule.case_sensitive)
        read["read_recall_sum"] = spelled - split_price
        read["read_precision_sum"] = spelled_by - merge_price
        read["read_precision_total"] = float(sum(map(len, itertools.compress(texts, detection_care.tolist()))))
    counts = ClevalCounts(
        recall_sum=float(recalled) - split_price,
        recall_total=float(wanted),
        precision_sum=right - merge_price,
        precision_total=float(held),
        splits=splits,
        merges=merges,
        overlaps=overlaps,
        truth_care=scored,
        truth_ignored=ignored,
        truth_invalid=broken,
        detection_care=used,
        detection_ignored=other,
        detection_invalid=found_broken,
        unread_pictures=int(not read),
        **read,
    )
    return ClevalMatch(
        counts=counts,
        truth_care=care,
        detection_care=detection_care,
        length=lengths,
        found=known,
        pieces=pieces,
        merged=merged,
        pairs=pairs,
    )


def match_cleval_scales(
    truth: PolygonSet,
    detections: PolygonSet,
    *,
    longer_side: float,
    bins: Sequence[float] = SCALE_BINS,
    rule: ClevalRule = CLEVAL,
) -> Mapping[tuple[float, float], ClevalMatch]:
    """The same picture once per bin of text height, other truths ignored.

    Heights are the short side of the smallest rectangle around a truth, its corners rounded to whole pixels, over the
    longer side of the picture. Truths of other heights keep the characters of their texts, as in the reference.
    """
    edges = [float(edge) for edge in bins]
    if len(edges) < 2 or sorted(set(edges)) != edges or not longer_side > 0:
        raise SpecError(f"found bins {edges} and longer side {longer_side}, expected rising edges and a positive side")
    # In float32, as the reference compares: a height may lie on an edge.
    scale = characters.short_sides(truth) / np.float32(longer_side)
    out = {}
    for low, high in itertools.pairwise(edges):
        other = (scale < np.float32(low)) | (scale > np.float32(high))
        out[low, high] = _match(truth.with_ignore(truth.ignore | other), detections, rule, truth.ignore)
    return out


def mean_per_picture(pictures: Sequence[ClevalCounts]) -> Mapping[str, float]:
    """Means of the pictures' own scores; a picture with nothing to score on either side is left out."""
    scored = [p for p in pictures if p.recall_total or p.precision_total]
    names = ["recall", "precision", "hmean"]
    if scored and all(p.read_recall is not None for p in scored):
        names += ["read_recall", "read_precision", "read_hmean"]
    return {name: float(np.mean([getattr(p, name) for p in scored])) for name in names} if scored else {}


def _score(hits: float, total: float) -> float:
    return max(hits, 0.0) / total if total else 0.0


def _hmean(recall: float, precision: float) -> float:
    return 2.0 * recall * precision / (recall + precision) if recall + precision else 0.0


def _all_known(polygons: PolygonSet, scored: BoolArray) -> bool:
    return None not in polygons.texts or all(polygons.texts[i] is not None for i in np.flatnonzero(scored))


def _read_as(detections: PolygonSet, guess: IntArray) -> list[str]:
    if UNREAD not in detections.texts:
        return [text or "" for text in detections.texts]
    return ["#" * int(guess[j]) if text == UNREAD else text or "" for j, text in enumerate(detections.texts)]


def _read(
    truth: PolygonSet,
    texts: Sequence[str],
    rows: IntArray,
    columns: IntArray,
    flags: BoolArray,
    begins: IntArray,
    case_sensitive: bool,
) -> tuple[float, float]:
    """Characters read over all truths, and over all detections."""
    wanted: Sequence[str] = [text or "" for text in truth.texts]
    if not case_sensitive:
        wanted, texts = [_lower(text) for text in wanted], [_lower(text) for text in texts]
    k = len(wanted)
    codes, starts = transcripts.code_points([*wanted, *texts])
    by_truth, by_detection = transcripts.spelled(
        codes, starts[: k + 1], codes, starts[k:], rows, columns, flags, begins
    )
    return float(sum(by_truth.tolist())), float(sum(by_detection.tolist()))


def _lower(text: str) -> str:
    """Lower case that keeps the number of characters, which places them along the line."""
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
