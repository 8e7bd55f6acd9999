"""Parsed annotations, remembered: a source whose annotation files have not changed is not parsed again.

One blob per reading: the numbers of all outlines as they lie in memory, everything else as JSON.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from typing import Any

import numpy as np

from ocrmaps.annotations import SIGNS, scan
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.errors import Problem
from ocrmaps.geometry import PolygonSet
from ocrmaps.store.format.identity import canonical_json, fingerprint
from ocrmaps.store.writing.inputs import Memory, listing

_HEAD = struct.Struct("<3Q")
READERS_VERSION = 2
"""Raised when any reader would read the same file differently."""


def read_annotations(source: Source, memory: Memory, *, rehash: bool = False) -> Reading:
    """The reading of a source, from memory if names, stamps and inodes of its annotation files are as they were."""
    sign = SIGNS.get(source.format)
    if sign is not None and sign.looks_at_pictures:
        return scan(source)
    # Formats with one file per picture look at the names in the picture folder, too.
    roots = [source.annotations], [] if source.annotations.is_file() else [source.pictures]
    before = listing(*roots)
    question = fingerprint(["reading", READERS_VERSION, json.loads(json.dumps(asdict(source), default=str))])
    if before is not None and not rehash:
        known = memory.blob(question)
        if known is not None and known[:64] == before.encode():
            return unpack(known[64:], source)
    reading = scan(source)
    if before is not None and before == listing(*roots):
        memory.remember_blob(question, before.encode() + pack(reading))
    return reading


def pack(reading: Reading) -> bytes:
    """A reading as bytes."""
    sets = [sample.polygons for sample in reading.samples]
    points = np.concatenate([np.zeros((0, 2)), *(s.points for s in sets)])
    counts = np.concatenate([np.zeros(0, np.int64), *(s.counts() for s in sets)])
    ignore = np.concatenate([np.zeros(0, np.bool_), *(s.ignore for s in sets)])
    rest = {
        "samples": [[s.id, s.loc, s.size, len(s.polygons), list(s.polygons.texts)] for s in reading.samples],
        "problems": [[p.loc, p.message, p.kind] for p in reading.problems],
        "notes": [[p.loc, p.message, p.kind] for p in reading.notes],
        "unused": dict(reading.unused),
    }
    text = canonical_json(rest)
    head = _HEAD.pack(len(text), len(points), len(counts))
    return head + text + points.astype("<f8").tobytes() + counts.astype("<i8").tobytes() + ignore.tobytes()


def unpack(data: bytes, source: Source) -> Reading:
    """The reading that `pack` was given."""
    text, n, k = _HEAD.unpack_from(data)
    at = _HEAD.size
    rest: dict[str, Any] = json.loads(data[at : at + text].decode("utf-8", "surrogatepass"))
    at += text
    points = np.frombuffer(data, "<f8", 2 * n, at).reshape(n, 2)
    counts = np.frombuffer(data, "<i8", k, at + 16 * n)
    ignore = np.frombuffer(data, np.bool_, k, at + 16 * n + 8 * k)
    starts = np.concatenate([[0], np.cumsum(counts)])
    samples = []
    first = 0
    for id, loc, size, polygons, texts in rest["samples"]:
        last = first + polygons
        found = PolygonSet(
            points=points[starts[first] : starts[last]],
            offsets=starts[first : last + 1] - starts[first],
            ignore=ignore[first:last],
            texts=tuple(texts),
            frame=source.frame,
        )
        samples.append(Sample(id=id, polygons=found, loc=loc, size=None if size is None else (size[0], size[1])))
        first = last
    return Reading(
        samples=tuple(samples),
        problems=tuple(Problem(loc, message, kind) for loc, message, kind in rest["problems"]),
        unused=rest["unused"],
        notes=tuple(Problem(loc, message, kind) for loc, message, kind in rest["notes"]),
    )
