"""Outputs of an invented system with one known fault each: what a diagnosis is held against.

Pages are receipts of text lines, a little turned. The system misses some texts, draws every outline a little off, finds
some that are none, and is less sure of those: what every detector does, and no fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ocrmaps.evaluation.diagnose.records import PageOutput
from ocrmaps.evaluation.diagnose.shapes import grown, rectangle
from ocrmaps.geometry import Affine, BoolArray, FloatArray, PolygonSet, Size, upright_affine

Rng = np.random.Generator
CUT = 0.5
"""The invented system's own score threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededFault:
    """A fault by name, what a diagnosis has to call it, and what it does to a page."""

    kind: str | None
    do: Callable[[PageOutput, Rng], PageOutput] = lambda page, rng: page
    lines: int = 22
    lean: float = 1.5
    """Standard deviation of the angle that pages lie at, degrees."""
    truth: str = "line"
    """line or word."""
    system: str = ""
    """line or word where the system finds another unit than is annotated."""
    upright: bool = False
    """Whether annotations and detections are upright boxes."""
    score_cut: float = CUT
    vertical: float = 0.0
    """Share of the lines that run downwards."""


def seeded(name: str, seed: int, pages: int = 5, *, on: Sequence[tuple[Size, PolygonSet]] = ()) -> list[PageOutput]:
    """The output of the system with a fault of `FAULTS` on some invented pages, or on some of the pages `on`."""
    fault = FAULTS[name]
    rng = np.random.default_rng((seed, list(FAULTS).index(name)))
    drawn = [on[i] for i in rng.choice(len(on), pages, replace=len(on) < pages)] if on else [None] * pages
    made = [
        _page(fault, f"page-{i}.png", rng)
        if page is None
        else _annotated(fault, f"page-{i}.png", page[0], page[1], rng)
        for i, page in enumerate(drawn)
    ]
    made = [fault.do(page, rng) for page in made]
    return _WHOLE[name](made, rng) if name in _WHOLE else made


def _page(fault: SeededFault, id: str, rng: Rng) -> PageOutput:
    size = int(rng.integers(900, 1700)), int(rng.integers(560, 1000))
    lines, words = _layout(fault, size, rng)
    truth = words if fault.truth == "word" else lines
    seen = {"line": lines, "word": words, "": truth}[fault.system]
    found, scores = _seen(seen, size, fault, rng)
    return PageOutput(
        id=id,
        size=size,
        orientation=1,
        truth=PolygonSet.of(truth, frame="upright"),
        found=PolygonSet.of(found, frame="upright"),
        scores=scores,
    )


def on_any_page(name: str) -> bool:
    """Whether a fault can be seeded on annotations as they are: it needs no words, verticals or leaning lines."""
    fault = FAULTS[name]
    return not fault.system and not fault.vertical and fault.lean < 5


def _annotated(fault: SeededFault, id: str, size: Size, truth: PolygonSet, rng: Rng) -> PageOutput:
    """A page as annotated; where all outlines are upright boxes, so are the detections."""
    boxes = [_box(*bounds) for bounds in truth.bounds().tolist()]
    upright = fault.upright or all(np.array_equal(a, b) for a, b in zip(truth, boxes, strict=True))
    texts = boxes if upright else [rectangle(points) for points in truth]
    found, scores = _seen(texts, size, replace(fault, upright=upright), rng)
    return PageOutput(
        id=id, size=size, orientation=1, truth=truth, found=PolygonSet.of(found, frame=truth.frame), scores=scores
    )


def _layout(fault: SeededFault, size: Size, rng: Rng) -> tuple[list[FloatArray], list[FloatArray]]:
    """Lines and the words on them."""
    height, width = size
    lean = Affine.rotation(float(rng.normal(0, fault.lean)) if not fault.upright else 0.0, (width / 2, height / 2))
    pitch = height * 0.86 / fault.lines
    lines, words = [], []
    taken = 0
    for row in range(fault.lines):
        if row < taken:
            continue
        tall = pitch * rng.uniform(0.42, 0.72)
        y = height * 0.07 + row * pitch + rng.uniform(0, 0.2) * pitch
        x, end = width * rng.uniform(0.06, 0.4), width * rng.uniform(0.55, 0.94)
        if rng.random() < fault.vertical:
            taken = row + 2
            lines.append(_box(end, y, end + tall, y + pitch * 1.8))
            words.append(lines[-1])
            continue
        ends = x
        while ends < end:
            start, ends = ends, min(ends + tall * rng.uniform(1.5, 6.0), width * 0.95)
            words.append(_box(start, y, ends, y + tall))
            ends += tall * 0.6
        lines.append(_box(x, y, ends - tall * 0.6, y + tall))
    return [lean.apply(p) for p in lines], [lean.apply(p) for p in words]


def _box(x0: float, y0: float, x1: float, y1: float) -> FloatArray:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64)


def _seen(texts: list[FloatArray], size: Size, fault: SeededFault, rng: Rng) -> tuple[list[FloatArray], FloatArray]:
    """What the system finds of texts, with its scores, from its threshold on."""
    found, scores = [], []
    missed, wrong = rng.uniform(0.04, 0.14), rng.uniform(0.03, 0.12)
    for text in texts:
        if rng.random() >= missed:
            tall = float(PolygonSet.of([text], frame="upright").equivalent_sides()[0, 0])
            off = rng.normal(0, 0.05 * tall, text.shape)
            if fault.upright:
                off = np.array([off[0], [off[1, 0], off[0, 1]], off[1], [off[0, 0], off[1, 1]]])
            found.append(text + off)
            scores.append(rng.beta(7, 2.2))
    for _ in range(rng.poisson(wrong * len(texts))):
        tall = size[0] * rng.uniform(0.012, 0.03)
        x, y = rng.uniform(0, size[1] * 0.8), rng.uniform(0, size[0] * 0.95)
        found.append(_box(x, y, x + tall * rng.uniform(1.5, 7), y + tall))
        scores.append(CUT + (1 - CUT) * rng.beta(1.5, 3.0))
    rank = np.round(np.array(scores), 3)
    keep = rank >= fault.score_cut
    return [p for p, k in zip(found, keep, strict=True) if k], rank[keep]


def _moved(by: Callable[[PageOutput], Affine]) -> Callable[[PageOutput, Rng], PageOutput]:
    return lambda page, rng: page.moved(by(page).apply(page.found.points))


def _turned(orientation: int) -> Callable[[PageOutput, Rng], PageOutput]:
    def by(page: PageOutput) -> Affine:
        height, width = page.size
        raw = (width, height) if orientation >= 5 else (height, width)
        return upright_affine(orientation, raw).inverse()

    return _moved(by)


def _exif(page: PageOutput, rng: Rng) -> PageOutput:
    orientation = int(rng.choice((1, 6, 8, 3)))
    return replace(_turned(orientation)(page, rng), orientation=orientation)


def _scaled(unit: Callable[[PageOutput], tuple[float, float]]) -> Callable[[PageOutput, Rng], PageOutput]:
    return _moved(lambda page: Affine.scaling(*unit(page)))


def _letterbox(page: PageOutput) -> Affine:
    height, width = page.size
    scale = 640 / max(page.size)
    return Affine.translation((640 - width * scale) / 2, (640 - height * scale) / 2) @ Affine.scaling(scale, scale)


def _corners(change: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]) -> Callable[
    [PageOutput, Rng], PageOutput
]:  # fmt: skip
    def do(page: PageOutput, rng: Rng) -> PageOutput:
        pairs = [change(p[0], p[2]) for p in page.found]
        boxes = [_box(a[0], a[1], b[0], b[1]) for a, b in pairs]
        return page.moved(np.concatenate(boxes) if boxes else page.found.points)

    return do


def _bow_ties(page: PageOutput, rng: Rng) -> PageOutput:
    return page.moved(page.found.points.reshape(-1, 4, 2)[:, [0, 1, 3, 2]].reshape(-1, 2))


def _more(page: PageOutput, more: list[FloatArray], scores: FloatArray) -> PageOutput:
    assert page.scores is not None
    found = PolygonSet.of([*page.found, *more], frame=page.found.frame)
    return replace(page, found=found, scores=np.concatenate([page.scores, scores]))


def _twice(page: PageOutput, rng: Rng) -> PageOutput:
    some = np.flatnonzero(rng.random(len(page.found)) < 0.5)
    tall = page.found.equivalent_sides()[:, 0]
    more = [page.found[int(i)] + rng.normal(0, 0.06 * tall[i], (4, 2)) for i in some]
    assert page.scores is not None
    return _more(page, more, np.maximum(page.scores[some] - rng.uniform(0, 0.1, len(some)), CUT))


def _margin(margin: float) -> Callable[[PageOutput, Rng], PageOutput]:
    return lambda page, rng: page.moved(grown(page.found, margin))


def _boxed(page: PageOutput, rng: Rng) -> PageOutput:
    boxes = [_box(*b) for b in page.found.bounds().tolist()]
    return replace(page, found=PolygonSet.of(boxes, frame=page.found.frame))


def _noise(page: PageOutput, rng: Rng) -> PageOutput:
    count = int(rng.integers(12, 24))
    tall = page.size[0] * rng.uniform(0.01, 0.03, count)
    x, y = rng.uniform(0, 0.8 * page.size[1], count), rng.uniform(0, 0.95 * page.size[0], count)
    more = [_box(a, b, a + t * rng.uniform(1.5, 7), b + t) for a, b, t in zip(x, y, tall, strict=True)]
    return _more(page, more, np.round(rng.uniform(0.1, CUT, count), 3))


def _without(member: Callable[[PageOutput, FloatArray, FloatArray], BoolArray]) -> Callable[
    [PageOutput, Rng], PageOutput
]:  # fmt: skip
    """Nearly all detections of a kind are gone: `member` says how much of which, from their sides and middles."""

    def do(page: PageOutput, rng: Rng) -> PageOutput:
        bounds = page.found.bounds()
        middle = (bounds[:, :2] + bounds[:, 2:]) / 2 / np.array([page.size[1], page.size[0]])
        gone = member(page, page.found.equivalent_sides(), middle) & (rng.random(len(bounds)) < 0.92)
        return page.kept(~gone)

    return do


def _standing(page: PageOutput, sides: FloatArray, middle: FloatArray) -> BoolArray:
    bounds = page.found.bounds()
    return np.asarray(bounds[:, 3] - bounds[:, 1] > bounds[:, 2] - bounds[:, 0])


FAULTS: dict[str, SeededFault] = {
    "none": SeededFault(kind=None),
    "none-words": SeededFault(kind=None, truth="word"),
    "none-upright": SeededFault(kind=None, upright=True),
    "swapped-axes": SeededFault(kind="turned", do=_turned(5)),
    "mirrored": SeededFault(kind="turned", do=_turned(4)),
    "upside-down": SeededFault(kind="turned", do=_turned(3)),
    "quarter-turn": SeededFault(kind="turned", do=_turned(6)),
    "exif": SeededFault(kind="exif", do=_exif),
    "shares": SeededFault(kind="normalized", do=_scaled(lambda p: (1 / p.size[1], 1 / p.size[0]))),
    "thousandths": SeededFault(kind="normalized", do=_scaled(lambda p: (1000 / p.size[1], 1000 / p.size[0]))),
    "longest-side": SeededFault(kind="scaled", do=_scaled(lambda p: (960 / max(p.size),) * 2)),
    "stretched": SeededFault(kind="scaled", do=_scaled(lambda p: (640 / p.size[1], 640 / p.size[0]))),
    "padded": SeededFault(kind="scaled", do=_moved(_letterbox)),
    "doubled": SeededFault(kind="scaled", do=_scaled(lambda p: (2.0, 2.0))),
    "shifted": SeededFault(kind="offset", do=_moved(lambda p: Affine.translation(-14, 11))),
    "sizes-as-corners": SeededFault(kind="corner-format", do=_corners(lambda a, b: (a, b - a)), upright=True),
    "corners-as-sizes": SeededFault(kind="corner-format", do=_corners(lambda a, b: (a, a + b)), upright=True),
    "center-as-corner": SeededFault(
        kind="corner-format", do=_corners(lambda a, b: ((a + b) / 2, (a + b) / 2 + b - a)), upright=True
    ),
    "crossing": SeededFault(kind="point-order", do=_bow_ties),
    "twice": SeededFault(kind="duplicates", do=_twice),
    "words": SeededFault(kind="words", system="word"),
    "lines": SeededFault(kind="lines", truth="word", system="line"),
    "upright-boxes": SeededFault(kind="box-shape", do=_boxed, lean=12.0),
    "tight": SeededFault(kind="margin", do=_margin(-0.18)),
    "loose": SeededFault(kind="margin", do=_margin(0.3)),
    "low-threshold": SeededFault(kind="threshold-low", do=_noise),
    "high-threshold": SeededFault(kind="threshold-high", score_cut=0.78),
    "small-missed": SeededFault(
        kind="missed-height", do=_without(lambda p, s, m: s[:, 0] < 24)
    ),
    "long-missed": SeededFault(
        kind="missed-aspect", do=_without(lambda p, s, m: s[:, 1] / s[:, 0] > 5), truth="word", lines=14
    ),
    "bottom-missed": SeededFault(kind="missed-place", do=_without(lambda p, s, m: m[:, 1] > 0.8)),
    "vertical-missed": SeededFault(
        kind="missed-direction", do=_without(_standing),
        vertical=0.25,
        lines=16,
    ),
    "empty-pages": SeededFault(kind="empty-pages"),
    "neighbors": SeededFault(kind="shifted-pages"),
}  # fmt: skip
"""Faults by name."""


def _emptied(pages: list[PageOutput], rng: Rng) -> list[PageOutput]:
    gone = set(rng.choice(len(pages), max(1, len(pages) // 4), replace=False).tolist())
    return [
        replace(page.kept(np.zeros(len(page.found), dtype=np.bool_)), named=False) if i in gone else page
        for i, page in enumerate(pages)
    ]


def _neighbors(pages: list[PageOutput], rng: Rng) -> list[PageOutput]:
    return [
        replace(page, found=other.found, scores=other.scores)
        for page, other in zip(pages, (*pages[-1:], *pages[:-1]), strict=True)
    ]


_WHOLE: dict[str, Callable[[list[PageOutput], Rng], list[PageOutput]]] = {
    "empty-pages": _emptied,
    "neighbors": _neighbors,
}
