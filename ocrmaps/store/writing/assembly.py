"""From a plan and its receipts to the tables and the ledger of a version: the same, in whatever order receipts came."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import StoreError
from ocrmaps.geometry import FRAMES
from ocrmaps.maps import Outcome
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.format.identity import canonical_json
from ocrmaps.store.format.layout import ShardKey
from ocrmaps.store.format.tables import TABLES, pack_texts
from ocrmaps.store.writing.plan import SPLITS, Failure, Plan, PlannedRow
from ocrmaps.store.writing.provenance import Drawers
from ocrmaps.store.writing.tasks import OUTCOMES, drawn_outcome

REACH = 0.5
"""A polygon counts as clipped when it leaves its canvas by more than this many pixels: less loses no pixel center."""
_QUIET = (OUTCOMES.index(str(Outcome.DRAWN)), OUTCOMES.index(str(Outcome.IGNORED)))
"""Outcomes that are what the annotation asked for, so the ledger does not list them."""

_PLACES = struct.Struct(f"<{2 * len(ARRAYS)}Q")

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """The content of a version apart from its shards."""

    tables: Mapping[str, Columns]
    ledger: tuple[bytes, ...]
    """One canonical JSON line for every sample skipped and every polygon repaired, masked or clipped."""
    counts: Mapping[str, Any]
    sources: tuple[str, ...]
    """Names that the `source` column refers to."""
    failures: tuple[Failure, ...]
    """Of plan and build."""
    how: Mapping[str, int]
    """Rows that were drawn, copied, linked, and that failed."""
    drawers: Drawers


class _Told(NamedTuple):
    """What a receipt says of one row, a hundred bytes or two: all rows of a version are in memory at once."""

    outcomes: bytes
    places: bytes
    """Offset and length of each array's chunk, 8 bytes each."""
    digests: bytes


def assemble_version(plan: Plan, receipts: Mapping[str, Mapping[str, Any]]) -> Assembled:
    """Join the plan with one receipt for each of its shards."""
    written: list[tuple[PlannedRow, _Told]] = []
    failures = list(plan.failures)
    shards: list[tuple[ShardKey, Mapping[str, Any]]] = []
    how: Counter[str] = Counter()
    drawers = Drawers()
    for key, rows in plan.shards.items():
        receipt = receipts.get(str(key))
        if receipt is None:
            raise StoreError(f"{key}: no receipt for this shard", hint="run the build again: it resumes")
        shards.append((key, receipt["files"]))
        drawers.add(str(key), receipt)
        how.update(told["how"] for told in receipt["rows"])
        for row, told in zip(rows, receipt["rows"], strict=True):
            if told["how"] == "failed":
                failures.append(
                    Failure(
                        split=row.split,
                        source=row.source,
                        sample=row.sample.id,
                        reason=told["reason"],
                        message=told["message"],
                    )
                )
            else:
                written.append(
                    (
                        row,
                        _Told(
                            outcomes=bytes.fromhex(told["outcomes"]),
                            places=_PLACES.pack(*told["places"]),
                            digests=bytes.fromhex(told["digests"]),
                        ),
                    )
                )
    written.sort(key=lambda pair: (SPLITS.index(pair[0].split), pair[0].source, pair[0].sample.id))
    shards.sort(key=lambda pair: (plan.canvases.index(pair[0].canvas), pair[0].index))
    sources = tuple(sorted({read.name for read in plan.sources}))
    polygons, ledger, outcomes = _polygons(written)
    ledger += [_skipped(failure) for failure in failures]
    counts = {
        "rows": len(written),
        "failed": len(failures),
        "polygons": int(polygons["row_offsets"][-1]),
        "outcomes": {OUTCOMES[code]: n for code, n in sorted(outcomes.items())},
        "splits": {split: n for split in SPLITS if (n := sum(row.split == split for row, _ in written))},
    }
    return Assembled(
        tables={"rows": _rows(written, sources), "shards": _shards(plan, shards), "polygons": polygons},
        ledger=tuple(sorted(ledger)),
        counts=counts,
        sources=sources,
        failures=tuple(failures),
        how=how,
        drawers=drawers,
    )


def _rows(written: Sequence[tuple[PlannedRow, _Told]], sources: Sequence[str]) -> Columns:
    rows = [row for row, _ in written]
    offsets, data = pack_texts([row.sample.id for row in rows])
    n = len(rows)
    places = np.frombuffer(b"".join(told.places for _, told in written), dtype="<u8").reshape(n, len(ARRAYS), 2)
    digests = b"".join(told.digests for _, told in written)
    transforms = [(t.orientation, *t.raw_size, *t.resized, *t.offset) for t in (row.transform for row in rows)]
    return {
        "id_offsets": offsets,
        "id_bytes": data,
        "split": np.array([SPLITS.index(row.split) for row in rows], dtype=np.uint8),
        "source": np.array([sources.index(row.source) for row in rows], dtype=np.uint16),
        "frame": np.array([FRAMES.index(row.sample.polygons.frame) for row in rows], dtype=np.uint8),
        "canvas": np.array([row.canvas for row in rows], dtype=np.uint16),
        "position": np.array([row.position for row in rows], dtype=np.uint32),
        "transform": np.array(transforms, dtype=np.int32).reshape(n, 7),
        "picture": _digests(b"".join(row.picture.sha for row in rows), n, 32),
        "annotation": _digests(b"".join(row.annotation for row in rows), n, 32),
        "fingerprint": _digests(b"".join(row.fingerprint for row in rows), n, 32),
        "chunk_offset": places[:, :, 0].astype(np.uint64),
        "chunk_nbytes": places[:, :, 1].astype(np.uint32),
        "chunk_digest": _digests(digests, n, *TABLES["rows"]["chunk_digest"][1]),
    }


def _shards(plan: Plan, shards: Sequence[tuple[ShardKey, Mapping[str, Any]]]) -> Columns:
    k = len(shards)
    files = [[of_shard[array] for array in ARRAYS] for _, of_shard in shards]
    digests = b"".join(bytes.fromhex(digest) for of_shard in files for _, digest in of_shard)
    return {
        "canvas": np.array([plan.canvases.index(key.canvas) for key, _ in shards], dtype=np.uint16),
        "index": np.array([key.index for key, _ in shards], dtype=np.uint32),
        "nbytes": np.array([[n for n, _ in of_shard] for of_shard in files], dtype=np.uint64).reshape(k, len(ARRAYS)),
        "digest": _digests(digests, k, *TABLES["shards"]["digest"][1]),
    }


def _digests(data: bytes, n: int, *shape: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8).reshape(n, *shape)


def _polygons(
    written: Sequence[tuple[PlannedRow, _Told]],
) -> tuple[Columns, list[bytes], Counter[int]]:
    sets = [row.sample.polygons for row, _ in written]
    numbers = np.cumsum([0, *(len(s) for s in sets)], dtype=np.uint64)
    starts = np.cumsum([0, *(len(s.points) for s in sets)], dtype=np.uint64)
    texts = [text for s in sets for text in s.texts]
    text_offsets, text_bytes = pack_texts([text or "" for text in texts])
    codes = np.frombuffer(b"".join(told.outcomes for _, told in written), dtype=np.uint8)
    if len(codes) != int(numbers[-1]):
        raise StoreError(f"found {len(codes)} outcomes for {int(numbers[-1])} polygons")
    columns: Columns = {
        "row_offsets": numbers,
        "offsets": np.concatenate([[0], *(s.offsets[1:] for s in sets)]).astype(np.uint64)
        + np.concatenate([[np.uint64(0)], np.repeat(starts[:-1], [len(s) for s in sets])]),
        "points": np.concatenate([np.zeros((0, 2)), *(s.points for s in sets)]),
        "ignore": np.concatenate([np.zeros(0, np.uint8), *(s.ignore for s in sets)]).astype(np.uint8),
        "outcome": codes,
        "has_text": np.array([text is not None for text in texts], dtype=np.uint8),
        "text_offsets": text_offsets,
        "text_bytes": text_bytes,
    }
    # What lies on the picture lies on the canvas: few rows have to be looked at polygon by polygon.
    counts = [len(s.points) for s in sets]
    limits = np.array([row.transform.size(row.sample.polygons.frame)[::-1] for row, _ in written]).reshape(-1, 2)
    off = ((columns["points"] < 0) | (columns["points"] > np.repeat(limits, counts, axis=0))).any(axis=1)
    leaving = set(np.repeat(np.arange(len(sets)), counts)[off].tolist())
    ledger = []
    for i, (row, told) in enumerate(written):
        ledger += _altered(row, told.outcomes) + (_clipped(row, told.outcomes) if i in leaving else [])
    return columns, ledger, Counter(codes.tolist())


def _altered(row: PlannedRow, outcomes: Sequence[int]) -> list[bytes]:
    """Ledger lines of the polygons of one row that were repaired or masked."""
    polygons = row.sample.polygons
    return [
        _line(row, i, "repaired" if drawn_outcome(code) else "masked", polygons[i].tolist(), OUTCOMES[code])
        for i, code in enumerate(outcomes)
        if code not in _QUIET
    ]


def _clipped(row: PlannedRow, outcomes: Sequence[int]) -> list[bytes]:
    """Ledger lines of the drawn polygons of one row that its canvas cuts."""
    polygons = row.sample.polygons
    inside = row.transform.apply(polygons, "canonical")
    height, width = row.transform.canvas
    beyond = ((inside.points < -REACH) | (inside.points > (width + REACH, height + REACH))).any(axis=1)
    reaching = np.unique(np.searchsorted(polygons.offsets, np.flatnonzero(beyond), side="right") - 1).tolist()
    drawn = [i for i in reaching if drawn_outcome(outcomes[i])]
    return [_line(row, i, "clipped", inside[i].tolist(), f"canvas {height}x{width}") for i in drawn]


def _line(row: PlannedRow, polygon: int, reason: str, before: Any, after: str) -> bytes:
    return canonical_json(
        {
            "split": row.split,
            "source": row.source,
            "sample": row.sample.id,
            "file": row.sample.id,
            "polygon": polygon,
            "reason": reason,
            "before": before,
            "after": after,
        }
    )


def _skipped(failure: Failure) -> bytes:
    return canonical_json(
        {
            "split": failure.split,
            "source": failure.source,
            "sample": failure.sample,
            "file": failure.sample,
            "polygon": None,
            "reason": "skipped",
            "before": failure.reason,
            "after": failure.message,
        }
    )
