"""The same picture twice: by content digest, and by appearance where the file was saved again, resized or recolored.

Receipts and forms of one shop look alike to any small hash, so a hash only proposes pairs. A pair counts when the
details agree: both pictures are aligned and compared tile by tile, and the tiles that differ most decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ocrmaps.annotations.checks.imprint import BLANK, Imprint
from ocrmaps.annotations.checks.survey import in_threads
from ocrmaps.canonical import turn_upright
from ocrmaps.errors import PictureError
from ocrmaps.geometry import Size
from ocrmaps.pictures import decode

Gray = npt.NDArray[np.uint8]

COARSE_BITS = 10
"""Pairs whose two 64-bit hashes each differ in at most this many bits are candidates."""
FINE_BITS = 64
"""...of which those are compared whose 256-bit hash differs in at most this many."""
SAME = 0.75
"""Two pictures are the same when 99 % of their printed tiles correlate at least this well. Two receipts of one shop
for the same article differ in number, date and time only: about one tile in a hundred."""
MAX_COMPARED = 5000
"""Candidate pairs that are compared in detail, most alike first; the report says when there were more."""

_SIDES = (192, 512, 1536)
"""Longer side at which two pictures are aligned, aligned again, and compared: small print must be legible then."""
_REACHES = (16, 8, 6)
"""How far a tile may move at each of these sizes."""
_TILE = 32
_KEPT = 64
_AGREEING = 0.99
_FEWEST = 4
"""Fewer printed tiles than this say nothing."""
_PRINTED = 12.0
"""Gray-level deviation below which a tile shows no print to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One picture that may occur elsewhere."""

    source: int
    """Which of the compared sources it belongs to."""
    id: str
    path: Path
    digest: str
    size: Size
    """(height, width), upright."""
    imprint: Imprint | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Two entries that show the same picture."""

    first: int
    second: int
    """Positions in the list that was searched; first < second."""
    exact: bool
    """The files are equal byte for byte."""
    likeness: float
    """1 for equal files, else how well the least alike hundredth of the tiles still correlates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Everything found, and how far the search went."""

    pairs: tuple[Copy, ...]
    candidates: int
    """Pairs that the hashes proposed."""
    compared: int
    """Pairs that were compared in detail; fewer than `candidates` when the limit was reached."""


def find_copies(
    shown: Sequence[Shown],
    *,
    workers: int = 1,
    limit: int = MAX_COMPARED,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Copies:
    """All pairs that show the same picture, each picture paired with the first of its kind; equal files first."""
    first_of: dict[str, int] = {}
    exact: list[Copy] = []
    for i, entry in enumerate(shown):
        head = first_of.setdefault(entry.digest, i)
        if head != i:
            exact.append(Copy(first=head, second=i, exact=True, likeness=1.0))
    # Equal files stand for each other, but one of each source stays, so that leaks are found wherever they are.
    kept = sorted({(e.digest, e.source): i for i, e in reversed(list(enumerate(shown)))}.values())
    # Blank pictures are all alike and say nothing about each other.
    telling = [i for i in kept if (p := shown[i].imprint) is not None and p.contrast >= BLANK]
    number, chosen = _candidates(shown, telling, limit)
    near: list[Copy] = []
    # Pictures of a kind occur in many pairs; for the time of one search each is decoded about once.
    load = lru_cache(maxsize=_KEPT)(_load)
    likeness = in_threads(
        lambda pair: same_picture(shown[pair[0]].path, shown[pair[1]].path, load=load), chosen, workers=workers
    )
    for done, ((a, b), value) in enumerate(zip(chosen, likeness, strict=True), 1):
        progress(done, len(chosen))
        if value >= SAME:
            near.append(Copy(first=a, second=b, exact=False, likeness=value))
    near.sort(key=lambda copy: (-copy.likeness, copy.first, copy.second))
    return Copies(pairs=(*exact, *near), candidates=number, compared=len(chosen))


def _candidates(shown: Sequence[Shown], rows: Sequence[int], limit: int) -> tuple[int, list[tuple[int, int]]]:
    """How many pairs the hashes cannot tell apart, and the `limit` closest of them.

    One pass over the upper triangle: a row is one vector operation in the processor's cache, so that 100 000
    pictures take seconds without an index that pictures of one kind would fill unevenly.
    """
    prints = [p for i in rows if (p := shown[i].imprint) is not None]
    waves = np.array([p.waves for p in prints], dtype=np.uint64)
    slopes = np.array([p.slopes for p in prints], dtype=np.uint64)
    fine = np.frombuffer(b"".join(p.fine for p in prints), dtype=np.uint64).reshape(-1, 4)
    aspect = np.log([shown[i].size[0] / shown[i].size[1] for i in rows])
    _, digest = np.unique([shown[i].digest for i in rows], return_inverse=True)
    number = 0
    best = np.zeros((0, 3), dtype=np.int64)
    waiting: list[npt.NDArray[np.int64]] = []
    for i in range(len(rows) - 1):
        close = np.flatnonzero(np.bitwise_count(waves[i + 1 :] ^ waves[i]) <= COARSE_BITS) + i + 1
        close = close[np.bitwise_count(slopes[close] ^ slopes[i]) <= COARSE_BITS]
        close = close[(np.abs(aspect[close] - aspect[i]) < 0.1) & (digest[close] != digest[i])]
        if not len(close):
            continue
        bits = np.bitwise_count(fine[close] ^ fine[i]).sum(axis=1, dtype=np.int64)
        close, bits = close[bits <= FINE_BITS], bits[bits <= FINE_BITS]
        number += len(close)
        waiting.append(np.stack([bits, np.full(len(close), i), close], axis=1))
        if sum(map(len, waiting)) > 4 * limit:
            best, waiting = _closest([best, *waiting], limit), []
    best = _closest([best, *waiting], limit)
    return number, [(rows[i], rows[j]) for _, i, j in best.tolist()]


def _closest(tables: list[npt.NDArray[np.int64]], limit: int) -> npt.NDArray[np.int64]:
    table = np.concatenate(tables)
    return table[np.lexsort(table.T[::-1])[:limit]]


def same_picture(first: Path, second: Path, *, load: Callable[[Path], Gray] | None = None) -> float:
    """How well the least alike hundredth of the printed tiles correlates after alignment, -1 to 1; some value below
    `SAME` for different pictures.

    0 when a picture cannot be decoded or shows nothing to compare.
    """
    try:
        gray = [(load or _load)(path) for path in (first, second)]
    except PictureError:
        return 0.0
    # At the resolution of the smaller picture both are equally sharp.
    native = min(max(g.shape) for g in gray)
    height, width = (n / max(gray[0].shape) for n in gray[0].shape)
    align = np.eye(2, 3)  # first -> second, in units of the longer side
    scores = np.zeros(0, dtype=np.float32)
    for side, reach in zip(_SIDES, _REACHES, strict=True):
        side = min(side, native)
        size = (max(1, round(width * side)), max(1, round(height * side)))
        a, b = (np.asarray(cv2.resize(g, size, interpolation=cv2.INTER_AREA), np.uint8) for g in gray)
        matrix = align * (1, 1, side)
        shared = _warp(np.ones_like(b), matrix, cv2.INTER_NEAREST)
        b = _warp(b, matrix, cv2.INTER_LINEAR)
        final = side == min(_SIDES[-1], native)
        scores, moves = _tiles(a, b, shared, reach=reach, final=final)
        trusted = scores > 0.5
        if final:
            break
        if trusted.sum() < 8:
            continue
        here, there = moves[trusted, :2] / side, moves[trusted, 2:] / side
        step, _ = cv2.estimateAffine2D(here, there, ransacReprojThreshold=2 / side)
        if step is not None:
            better = np.concatenate([align[:, :2] @ step[:, :2], align[:, :2] @ step[:, 2:] + align[:, 2:]], axis=1)
            # Some cropping, a degree or two of turning; anything wilder is a chance alignment.
            if np.abs(better - np.eye(2, 3)).max() < 0.12:
                align = better
    return float(np.quantile(scores, 1 - _AGREEING)) if len(scores) >= _FEWEST else 0.0


def _load(path: Path) -> Gray:
    """The upright gray picture, no larger than it is compared at."""
    picture = decode(path, at_least=(_SIDES[-1], _SIDES[-1]))
    gray = turn_upright(np.asarray(picture.image.convert("L")), picture.header.orientation)
    scale = min(1.0, _SIDES[-1] / max(gray.shape))
    size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
    return np.asarray(cv2.resize(np.ascontiguousarray(gray), size, interpolation=cv2.INTER_AREA), np.uint8)


def _warp(gray: Gray, matrix: npt.NDArray[np.float64], method: int) -> Gray:
    """What `matrix` (target -> source) shows of a picture, at the same size; zero beyond its border."""
    height, width = gray.shape
    return np.asarray(cv2.warpAffine(gray, matrix, (width, height), flags=method | cv2.WARP_INVERSE_MAP), np.uint8)


def _tiles(
    a: Gray, b: Gray, shared: Gray, *, reach: int, final: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """For each printed tile of `a` on the `shared` area: the best correlation within `reach` pixels in `b`, and
    (x, y) -> (x, y) of the match. The `final` look stops once too many tiles differ for the pictures to be the same."""
    height, width = a.shape
    tile = max(1, min(_TILE, max(8, min(height, width) // 6), height, width))
    half = tile / 2
    rows, columns = height // tile, width // tile

    def blocks(gray: Gray) -> npt.NDArray[np.uint8]:
        return gray[: rows * tile, : columns * tile].reshape(rows, tile, columns, tile)

    printed = (blocks(a).std(axis=(1, 3), dtype=np.float32) >= _PRINTED) & blocks(shared).all(axis=(1, 3))
    corners = (np.argwhere(printed) * tile).tolist()
    allowed = len(corners) * (1 - _AGREEING) + 1 if final else len(corners)
    scores: list[float] = []
    moves: list[tuple[float, float, float, float]] = []
    for y, x in corners:
        top, left = max(0, y - reach), max(0, x - reach)
        around = b[top : y + tile + reach, left : x + tile + reach]
        match = cv2.matchTemplate(around, a[y : y + tile, x : x + tile], cv2.TM_CCOEFF_NORMED)
        _, best, _, (dx, dy) = cv2.minMaxLoc(match)
        scores.append(best)
        moves.append((x + half, y + half, left + dx + half, top + dy + half))
        allowed -= best < SAME
        if final and allowed < 0:
            break
    return np.array(scores, dtype=np.float32), np.array(moves, dtype=np.float32).reshape(-1, 4)
