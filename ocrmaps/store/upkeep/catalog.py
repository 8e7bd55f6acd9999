"""What versions a cache holds, what is in them, how two differ, and which ones nothing may remove."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import StoreError
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.format.manifest import read_manifest
from ocrmaps.store.format.tables import unpack_text, unpack_texts
from ocrmaps.store.places import lock
from ocrmaps.store.places import posix as disk
from ocrmaps.store.places.cache import Store, stores
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.explain import Change, fields_changed, summary
from ocrmaps.store.upkeep.presence import presence
from ocrmaps.store.writing.plan import SPLITS

Rows = npt.NDArray[np.intp]
_NAMES = 4096
"""Names that are looked at together."""


def list_versions(cache: Path) -> list[dict[str, Any]]:
    """Every committed version of every store, the newest first; a damaged one is listed with what is wrong."""
    out = []
    for store in stores(cache):
        pinned = pins(store)
        for version in store.versions():
            entry: dict[str, Any] = {"store": store.name, "version": version, "pinned": pinned.get(version)}
            try:
                files = presence(store.version(version))
                manifest = read_manifest(store.version(version))
            except StoreError as error:
                out.append({**entry, "problem": str(error)})
                continue
            if files.message:
                entry["problem"] = files.message
            out.append(
                {
                    **entry,
                    "root_digest": manifest.root_digest,
                    "rows": manifest.rows,
                    "failed": manifest.written["counts"]["failed"],
                    "splits": manifest.written["counts"]["splits"],
                    "bytes": files.nbytes,
                    "built": manifest.recorded.get("built", {}).get("at"),
                }
            )
    return out


def show(folder: Path, *, ledger: int = 0) -> dict[str, Any]:
    """What one version is: recipe, sources with expected and written counts, canvases, failures."""
    with Reader(folder) as reader:
        manifest = reader.manifest
        lines = list(reader.ledger())
        return {
            "version": manifest.version,
            "root_digest": manifest.root_digest,
            "counts": manifest.written["counts"],
            "canvases": manifest.written["canvases"],
            "sources": manifest.recorded["sources"],
            "recipe": manifest.recorded["recipe"],
            "algorithms": manifest.asked["algorithms"],
            "built": manifest.recorded.get("built", {}),
            "tools": manifest.recorded.get("tools", {}),
            "drawn_by": manifest.recorded.get("drawn_by", []),
            "ledger": {"lines": len(lines), "by_reason": dict(Counter(line["reason"] for line in lines))},
            "ledger_lines": lines[:ledger],
            "problems": [line for line in lines if line["reason"] == "skipped"][:100],
        }


def diff(old: Path, new: Path) -> dict[str, Any]:
    """Which samples two versions do not share, and which recipe fields and algorithms differ."""
    with Reader(old) as a, Reader(new) as b:
        names = ("picture", "annotation", "fingerprint")
        if _same_samples(a, b):
            only_a: list[int] = []
            only_b: list[int] = []
            differs = {name: _differ(a, b, name) for name in names}
            in_b: Rows = np.arange(len(b))
        else:
            in_a, in_b, only_a, only_b = _paired(a, b)
            differs = {name: _differ_in_places(a, b, name, in_a, in_b) for name in names}
        found = [Change(sample=a.name(row), what="removed", redraw=False) for row in only_a]
        changed = np.flatnonzero(differs["picture"] | differs["annotation"] | differs["fingerprint"])
        of_b: dict[int, Change] = {row: Change(sample=b.name(row), what="new", redraw=True) for row in only_b}
        for at in changed.tolist():
            causes = [what for what, name in (("image", "picture"), ("annotation", "annotation")) if differs[name][at]]
            row = int(in_b[at])
            of_b[row] = Change(
                sample=b.name(row), what=", ".join(causes) or "recipe", redraw=bool(differs["fingerprint"][at])
            )
        found += [of_b[row] for row in sorted(of_b)]
        return {
            "old": {"version": a.manifest.version, "root_digest": a.root_digest, "rows": len(a)},
            "new": {"version": b.manifest.version, "root_digest": b.root_digest, "rows": len(b)},
            "fields": fields_changed(b.manifest.asked, a.manifest.asked),
            "summary": summary(found),
            "changes": [change.as_dict() for change in found],
        }


def statistics(folder: Path) -> dict[str, Any]:
    """Numbers about a version that reports quote: rows, bytes and ratios by array, polygons, outcomes."""
    with Reader(folder) as reader:
        manifest = reader.manifest
        sizes = np.array([h * w for h, w in manifest.canvases], dtype=np.int64)
        pixels = int(sizes[reader.rows["canvas"]].sum()) if len(reader) else 0
        packed = reader.rows["chunk_nbytes"].sum(axis=0, dtype=np.int64).tolist()
        raw = [pixels * (3 if array == "image" else 1) for array in ARRAYS]
        polygons = np.diff(reader.polygons["row_offsets"]).astype(np.int64)
        return {
            "version": manifest.version,
            "root_digest": manifest.root_digest,
            "counts": manifest.written["counts"],
            "canvases": {f"{h}x{w}": n for (h, w), n in zip(manifest.canvases, manifest.positions, strict=True)},
            "arrays": {
                array: {"bytes": n, "raw_bytes": r, "ratio": round(r / n, 3) if n else None}
                for array, n, r in zip(ARRAYS, packed, raw, strict=True)
            },
            "share_of_raw": round(sum(packed) / sum(raw), 5) if pixels else None,
            "polygons_per_row": {
                "min": int(polygons.min(initial=0) if not len(polygons) else polygons.min()),
                "median": float(np.median(polygons)) if len(polygons) else 0.0,
                "max": int(polygons.max(initial=0)),
            },
        }


def rows_table(folder: Path) -> list[dict[str, Any]]:
    """One plain record a row, for tables elsewhere."""
    with Reader(folder) as reader:
        sources = reader.manifest.written["sources"]
        polygons = np.diff(reader.polygons["row_offsets"]).tolist()
        return [
            {
                "row": row,
                "split": SPLITS[int(reader.rows["split"][row])],
                "source": sources[int(reader.rows["source"][row])],
                "id": reader.id(row),
                "canvas": "x".join(map(str, reader.canvas(row))),
                "position": int(reader.rows["position"][row]),
                "orientation": int(reader.rows["transform"][row, 0]),
                "raw_height": int(reader.rows["transform"][row, 1]),
                "raw_width": int(reader.rows["transform"][row, 2]),
                "polygons": polygons[row],
                "bytes": int(reader.rows["chunk_nbytes"][row].sum()),
                "picture_sha256": reader.rows["picture"][row].tobytes().hex(),
            }
            for row in range(len(reader))
        ]


def pins(store: Store) -> dict[str, str]:
    """Pinned versions and why."""
    found = disk.read_json(store.pins)
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise StoreError(f"{store.pins}: found {found!r}, expected versions with reasons", hint="correct or remove it")
    return found


def pin(store: Store, version: str, reason: str) -> None:
    """Keep a version whatever gc, clear and quotas want."""
    read_manifest(store.version(version))
    with lock.building(store.lock("pins"), f"the pins of store {store.name}"):
        _write_pins(store, {**pins(store), version: reason})


def unpin(store: Store, version: str) -> None:
    """Let a version go its way again."""
    with lock.building(store.lock("pins"), f"the pins of store {store.name}"):
        found = pins(store)
        if version not in found:
            raise StoreError(f"{store.name}/{version} is not pinned; pinned are: {', '.join(found) or 'none'}")
        _write_pins(store, {v: reason for v, reason in found.items() if v != version})


def _write_pins(store: Store, found: dict[str, str]) -> None:
    import json

    disk.publish(store.pins, [json.dumps(found, indent=2, sort_keys=True).encode()])


def size_of(folder: Path, *, own: bool = False) -> int:
    """Bytes of all files below a folder; with `own` only of files that no other version shares by a link."""
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(above, name))
            except FileNotFoundError:
                continue  # somebody removed it while we looked
            if not own or status.st_nlink == 1:
                total += status.st_size
    return total


def _same_samples(a: Reader, b: Reader) -> bool:
    """Whether the rows of two versions are of the same samples in the same order, by the digests of the columns."""
    return a.manifest.written["sources"] == b.manifest.written["sources"] and all(
        a.rows.digest(name) == b.rows.digest(name) for name in ("id_offsets", "id_bytes", "split", "source")
    )


def _differ(a: Reader, b: Reader, name: str) -> npt.NDArray[np.bool_]:
    """Which rows of the same samples differ in a column of fingerprints."""
    if a.rows.digest(name) == b.rows.digest(name):
        return np.zeros(len(a), bool)
    return np.concatenate([_unlike(*both) for both in zip(a.rows.pieces(name), b.rows.pieces(name), strict=True)])


def _differ_in_places(a: Reader, b: Reader, name: str, in_a: Rows, in_b: Rows) -> npt.NDArray[np.bool_]:
    """The same for the rows `in_a`, which are of the samples of the rows `in_b`."""
    partner: Rows = np.full(len(a), -1, np.intp)
    partner[in_a] = in_b
    unlike, column, start = np.zeros(len(a), bool), b.rows[name], 0
    for piece in a.rows.pieces(name):
        of_b = partner[start : start + len(piece)]
        shared = np.flatnonzero(of_b >= 0)
        unlike[start + shared] = _unlike(piece[shared], column[of_b[shared]])
        start += len(piece)
    return unlike[in_a]


def _unlike(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which of the fingerprints are not the same, eight bytes at a time."""
    unlike: npt.NDArray[np.bool_] = (a.view("<u8") != b.view("<u8")).any(axis=1)
    return unlike


def _paired(a: Reader, b: Reader) -> tuple[Rows, Rows, list[int], list[int]]:
    """Rows of the samples that two versions share, in the same order, and the rows that only either of them has."""
    groups_a, groups_b = _grouped(a), _grouped(b)
    none: Rows = np.zeros(0, np.intp)
    in_a, in_b = [none], [none]
    only_a: list[int] = []
    only_b: list[int] = []
    for group in groups_a.keys() | groups_b.keys():
        of_a, of_b = groups_a.get(group, none), groups_b.get(group, none)
        at_a, at_b = _matched(_ids(a, of_a), _ids(b, of_b))
        in_a.append(of_a[at_a])
        in_b.append(of_b[at_b])
        only_a += np.delete(of_a, at_a).tolist()
        only_b += np.delete(of_b, at_b).tolist()
    return np.concatenate(in_a), np.concatenate(in_b), sorted(only_a), only_b


def _grouped(reader: Reader) -> dict[tuple[str, str], Rows]:
    """The rows of each split and source."""
    sources = reader.manifest.written["sources"]
    code = reader.rows["split"].astype(np.int64) * len(sources) + reader.rows["source"]
    return {
        (SPLITS[which // len(sources)], sources[which % len(sources)]): np.flatnonzero(code == which)
        for which in np.flatnonzero(np.bincount(code)).tolist()
    }


def _ids(reader: Reader, rows: Rows) -> Iterator[str]:
    """The ids of these rows, of which few are held at a time."""
    offsets, data = reader.rows["id_offsets"], reader.rows["id_bytes"]
    for start in range(0, len(rows), _NAMES):
        some = rows[start : start + _NAMES]
        if some[-1] - some[0] == len(some) - 1:
            first, last = offsets[some[0]], offsets[some[-1] + 1]
            yield from unpack_texts(offsets[some[0] : some[-1] + 2] - first, data[first:last])
        else:
            yield from (unpack_text(offsets, data, row) for row in some.tolist())


def _matched(a: Iterable[str], b: Iterable[str]) -> tuple[Rows, Rows]:
    """Where the texts stand that two sequences share.

    What is found in one waits for its like in the other: where both are in about the same order, little waits at a
    time, and it is found in the processor's caches.
    """
    at_a, at_b = array("q"), array("q")
    waits_a: dict[str, int] = {}
    waits_b: dict[str, int] = {}
    for place, (one, other) in enumerate(zip_longest(a, b)):
        if one == other:
            at_a.append(place)
            at_b.append(place)
            continue
        if one is not None:
            found = waits_b.pop(one, None)
            if found is None:
                waits_a[one] = place
            else:
                at_a.append(place)
                at_b.append(found)
        if other is not None:
            found = waits_a.pop(other, None)
            if found is None:
                waits_b[other] = place
            else:
                at_a.append(found)
                at_b.append(place)
    return np.array(at_a, np.intp), np.array(at_b, np.intp)
