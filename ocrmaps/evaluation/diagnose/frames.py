"""Coordinates that count something else than pixels of the picture: turned, mirrored, scaled, padded, shifted.

Scales and shifts are found by vote: every pair of an annotation and a detection of about its size says one, and the
right one is said again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ocrmaps.evaluation.diagnose.records import Cure, PageOutput, Pages
from ocrmaps.geometry import Affine, FloatArray, PolygonSet, upright_affine

VOTERS = 40
"""Pages that vote."""
BOXES = 150
"""Outlines of a page that vote."""
ALIKE = 0.25
"""Natural logarithm of the quotient of heights up to which an annotation and a detection may be the same text."""
STEP = 0.01
"""Width of the bins that scales are counted in, as a natural logarithm."""
LIKELY = 30
"""Bins with the most votes, whose neighbors are counted too."""
LEAST_SCALE = 0.015
LEAST_SHIFT = 0.15
"""Of the median text height: nearer ones are no shift."""

TURNS: dict[int, tuple[str, str]] = {
    5: ("x and y are swapped", "write x before y, or swap them where the file is written"),
    2: ("x runs from right to left", "mirror x: new x = width - x"),
    4: ("y runs from bottom to top, as in PDF", "mirror y: new y = height - y"),
    3: ("coordinates are of the picture upside down", "turn the coordinates by 180 degrees, or the picture before"),
    6: ("coordinates are of the picture turned by 90 degrees", "turn the coordinates clockwise, or detect on the "
        "upright picture"),
    8: ("coordinates are of the picture turned by 270 degrees", "turn the coordinates counter-clockwise, or detect on "
        "the upright picture"),
    7: ("coordinates are swapped and mirrored", "swap x and y and mirror both"),
}  # fmt: skip


def exif(pages: Pages) -> Iterator[Cure]:
    """Coordinates of the picture as stored against the picture as shown."""
    turned = sum(page.orientation != 1 for page in pages)
    if not turned:
        return
    stored, shown = "the picture as stored in the file (raw)", "the picture as shown (upright)"
    for twice in (False, True):
        mine, theirs = (stored, shown) if pages[0].truth.frame != "raw" else (shown, stored)
        wrong = (
            f"coordinates have the EXIF orientation applied twice on {turned} of {len(pages)} pictures"
            if twice
            else f"coordinates count pixels of {mine} on {turned} of {len(pages)} pictures, annotations of {theirs}"
        )
        change = (
            "decode the picture once, with its EXIF orientation applied once"
            if twice
            else f"--predictions-frame {'upright' if mine == shown else 'raw'}, or apply the EXIF orientation in one "
            "place for both"
        )
        pages_ = [page if page.orientation == 1 else page.moved(_by_exif(page, twice)) for page in pages]
        yield Cure(kind="exif", wrong=wrong, change=change, pages=pages_, values={"twice": twice, "turned": turned})


def _by_exif(page: PageOutput, twice: bool) -> FloatArray:
    upright = page.truth.frame != "raw"
    height, width = page.size
    raw = (width, height) if upright and page.orientation >= 5 else page.size
    affine = upright_affine(page.orientation, raw)
    return (affine if upright != twice else affine.inverse()).apply(page.found.points)


def turns(pages: Pages) -> Iterator[Cure]:
    """All seven ways to lay the same page differently."""
    for orientation, (wrong, change) in TURNS.items():
        yield Cure(
            kind="turned",
            wrong=wrong,
            change=change,
            pages=[page.moved(turn(orientation, page).apply(page.found.points)) for page in pages],
            values={"orientation": orientation},
        )


def turn(orientation: int, page: PageOutput) -> Affine:
    """From a page laid differently to the page."""
    height, width = page.size
    return upright_affine(orientation, (width, height) if orientation >= 5 else (height, width))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """What a system may have resized pictures by: coordinates are this, times one number for all pages."""

    what: str
    unit: Callable[[PageOutput], FloatArray]
    centered: bool = False


_FAMILIES = (
    _Family(what="with the longest side at {0} pixels", unit=lambda p: np.full(2, max(p.size), float)),
    _Family(what="with the shortest side at {0} pixels", unit=lambda p: np.full(2, min(p.size), float)),
    _Family(what="stretched to {0} x {0} pixels", unit=lambda p: np.array([p.size[1], p.size[0]], float)),
    _Family(
        what="padded on all sides to {0} x {0} pixels", unit=lambda p: np.full(2, max(p.size), float), centered=True
    ),
    _Family(what="", unit=lambda p: np.ones(2)),
)
_SHARES = {1.0: "shares of the sides", 100.0: "per cent of the sides", 1000.0: "thousandths of the sides"}


def scales(pages: Pages) -> Iterator[Cure]:
    """One factor for all pages, of which there are five kinds."""
    for family in _FAMILIES:
        k = _vote_scale(pages, family)
        if k is None:
            continue
        side = 1 / k
        mended = [page.moved(_unscaled(page, family, k)) for page in pages]
        if family.what.startswith("stretched") and (known := [s for s in _SHARES if abs(np.log(side / s)) < 0.02]):
            exact = [page.moved(_unscaled(page, family, 1 / known[0])) for page in pages]
            yield Cure(
                kind="normalized",
                wrong=f"coordinates are {_SHARES[known[0]]}, not pixels",
                change=f"multiply x by the width and y by the height of each picture, and divide by {known[0]:g}"
                if known[0] != 1
                else "multiply x by the width and y by the height of each picture",
                pages=exact,
                values={"of": known[0]},
            )
        elif not family.what and abs(np.log(k)) > LEAST_SCALE:
            yield Cure(
                kind="scaled",
                wrong=f"coordinates are {side:.3g} times as large as they should be",
                change=f"multiply all coordinates by {k:.4g}",
                pages=mended,
                values={"factor": k},
            )
        elif family.what and _round(side):
            shown = 32 * round(side / 32)
            if all(np.allclose(shown / family.unit(page), 1, atol=LEAST_SCALE) for page in pages):
                continue  # the pictures have this very size
            yield Cure(
                kind="scaled",
                wrong=f"coordinates count pixels of pictures {family.what.format(shown)}",
                change="scale the coordinates back to each picture before they are written",
                pages=[page.moved(_unscaled(page, family, 1 / shown)) for page in pages],
                values={"side": shown, "what": family.what.format(shown)},
            )


def _round(side: float) -> bool:
    """Whether networks like this size: a multiple of 32, give or take what a vote is off."""
    return side >= 100 and abs(side / (32 * round(side / 32)) - 1) < 0.004


def _unscaled(page: PageOutput, family: _Family, k: float) -> FloatArray:
    unit = family.unit(page)
    if not family.centered:
        return np.asarray(page.found.points * k * unit)
    return np.asarray((page.found.points * k - 0.5) * unit + np.array([page.size[1], page.size[0]]) / 2)


def _vote_scale(pages: Pages, family: _Family) -> float | None:
    votes = []
    for page in pages[:VOTERS]:
        unit = family.unit(page)
        truth, found = _boxes(page.truth), _boxes(page.found)
        target = truth[:, :2] / unit
        if family.centered:
            target = (truth[:, :2] - np.array([page.size[1], page.size[0]]) / 2) / unit + 0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(target[:, None] / found[None, :, :2])
            sizes = np.log((truth[:, 2:] / unit)[:, None] / found[None, :, 2:])
        mean = logs.mean(axis=2)
        with np.errstate(invalid="ignore"):
            agree = (np.abs(logs[..., 0] - logs[..., 1]) < 2 * STEP) & (np.abs(sizes - mean[..., None]) < ALIKE).all(2)
        votes.append(mean[agree])
    said = np.concatenate(votes) if votes else np.zeros(0)
    if len(said) < 3:
        return None
    bins = np.round(said / STEP).astype(np.int64)
    values, counts = np.unique(bins, return_counts=True)
    around = [counts[np.abs(values - v) <= 1].sum() for v in values]
    mode = values[int(np.argmax(around))] * STEP
    return float(np.exp(np.median(said[np.abs(said - mode) <= 1.6 * STEP])))


def offsets(pages: Pages) -> Iterator[Cure]:
    """One shift for all pages."""
    votes, heights = [], []
    for page in pages[:VOTERS]:
        truth, found = _boxes(page.truth), _boxes(page.found)
        heights.append(page.truth.equivalent_sides()[:, 0])
        with np.errstate(divide="ignore", invalid="ignore"):
            alike = (np.abs(np.log(truth[:, None, 2:] / found[None, :, 2:])) < ALIKE).all(2)
        votes.append((truth[:, None, :2] - found[None, :, :2])[alike])
    said = np.concatenate(votes) if votes else np.zeros((0, 2))
    height = float(np.median(np.concatenate(heights))) if heights and len(np.concatenate(heights)) else 0.0
    if len(said) < 3 or height <= 0:
        return
    bins = np.round(said / (height / 3)).astype(np.int64)
    values, counts = np.unique(bins, axis=0, return_counts=True)
    likely = values[np.argsort(-counts, kind="stable")[:LIKELY]]
    around = [counts[(np.abs(values - v) <= 1).all(1)].sum() for v in likely]
    mode = likely[int(np.argmax(around))] * height / 3
    shift = np.median(said[(np.abs(said - mode) <= height / 2).all(1)], axis=0)
    if np.abs(shift).max() < LEAST_SHIFT * height:
        return
    x, y = (float(v) for v in shift)
    yield Cure(
        kind="offset",
        wrong=f"all coordinates are shifted by {-x:+.1f}, {-y:+.1f} pixels (x, y)",
        change=f"add {x:+.1f} to x and {y:+.1f} to y; look for padding or a crop that was not taken back",
        pages=[page.moved(page.found.points + shift) for page in pages],
        values={"x": x, "y": y},
    )


def _boxes(polygons: PolygonSet) -> FloatArray:
    """(n, 4): center and sides of the bounding boxes of some of the outlines."""
    bounds = polygons.bounds()[:BOXES]
    return np.concatenate([(bounds[:, :2] + bounds[:, 2:]) / 2, bounds[:, 2:] - bounds[:, :2]], axis=1)
