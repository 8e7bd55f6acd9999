"""Parsed annotations, remembered: a source whose annotation files have not changed is not parsed again.

One blob per reading: the numbers of all outlines as they lie in memory, with their fingerprints, and everything else as
JSON.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ocrmaps.annotations import SIGNS, scan
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.errors import Problem
from ocrmaps.geometry import PolygonSet
from ocrmaps.store.format.identity import (
    annotation_fingerprint,
    canonical_json,
    fingerprint,
    outline_fingerprint,
)
from ocrmaps.store.writing.inputs import Memory, listing

_HEAD = struct.Struct("<3Q")
READERS_VERSION = 3
"""Raised when any reader would read the same file differently, or fingerprints would be others."""
Prints = tuple[bytes, bytes]
"""Fingerprints of one sample: of its outlines, and of its whole annotation."""


def read_annotations(source: Source, memory: Memory, *, rehash: bool = False) -> tuple[Reading, tuple[Prints, ...]]:
    """The reading of a source and its samples' fingerprints, from memory if its annotation files are as they were.

    As they were is: with the same names, stamps and inodes.
    """
    sign = SIGNS.get(source.format)
    if sign is not None and sign.looks_at_pictures:
        reading = scan(source)
        return reading, fingerprints(reading)
    # Formats with one file per picture look at the names in the picture folder, too.
    roots = [source.annotations], [] if source.annotations.is_file() else [source.pictures]
    before = listing(*roots)
    question = fingerprint(["reading", READERS_VERSION, json.loads(json.dumps(asdict(source), default=str))])
    if before is not None and not rehash:
        known = memory.blob(question)
        if known is not None and known[:64] == before.encode():
            return unpack(known[64:], source)
    reading = scan(source)
    prints = fingerprints(reading)
    if before is not None and before == listing(*roots):
        memory.remember_blob(question, before.encode() + pack(reading, prints))
    return reading, prints


def fingerprints(reading: Reading) -> tuple[Prints, ...]:
    """Of each sample."""
    outlines = [outline_fingerprint(sample.polygons) for sample in reading.samples]
    return tuple(
        (known, annotation_fingerprint(sample.polygons, known))
        for sample, known in zip(reading.samples, outlines, strict=True)
    )


def pack(reading: Reading, prints: Sequence[Prints]) -> bytes:
    """A reading and its fingerprints as bytes."""
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
    numbers = points.astype("<f8").tobytes() + counts.astype("<i8").tobytes() + ignore.tobytes()
    return head + text + numbers + b"".join(part for both in prints for part in both)


def unpack(data: bytes, source: Source) -> tuple[Reading, tuple[Prints, ...]]:
    """The reading and the fingerprints that `pack` was given."""
    text, n, k = _HEAD.unpack_from(data)
    at = _HEAD.size
    rest: dict[str, Any] = json.loads(data[at : at + text].decode("utf-8", "surrogatepass"))
    at += text
    counts = np.frombuffer(data, "<i8", k, at + 16 * n)
    every = PolygonSet(
        points=np.frombuffer(data, "<f8", 2 * n, at).reshape(n, 2),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        ignore=np.frombuffer(data, np.bool_, k, at + 16 * n + 8 * k),
        texts=[text for sample in rest["samples"] for text in sample[4]],  # type: ignore[arg-type]
        frame=source.frame,
    )
    at += 16 * n + 9 * k
    prints = tuple((data[i : i + 32], data[i + 32 : i + 64]) for i in range(at, len(data), 64))
    samples = [
        Sample(id=id, polygons=found, loc=loc, size=None if size is None else (size[0], size[1]))
        for (id, loc, size, *_), found in zip(
            rest["samples"], every.split([sample[3] for sample in rest["samples"]]), strict=True
        )
    ]
    reading = Reading(
        samples=tuple(samples),
        problems=tuple(Problem(loc, message, kind) for loc, message, kind in rest["problems"]),
        unused=rest["unused"],
        notes=tuple(Problem(loc, message, kind) for loc, message, kind in rest["notes"]),
    )
    return reading, prints
