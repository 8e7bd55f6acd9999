"""Names for what was asked and proofs of what exists: canonical JSON, fingerprints and digests.

A fingerprint (SHA-256) names an input or a request. A digest of stored bytes is XXH3: 128 bits for a file, 64 bits for
one row of one array. Both find accidents; neither is a defence against someone who recomputes it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import xxhash

from ocrmaps.canonical import CanonicalSpec, CanonicalTransform
from ocrmaps.geometry import PolygonSet
from ocrmaps.maps import MapSpec

FORMAT = 1
"""Of the files of a version; raised when old readers could not read new versions."""
ALGORITHMS = {"pictures": 1, "canonical": 1}
"""Raised whenever the same file would give other pixels. The maps keep their own number (`MapSpec.algorithm`)."""
FILE_DIGEST, ROW_DIGEST = 16, 8
"""Bytes of the two digests."""
T = TypeVar("T")
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """One spelling for one value: sorted keys, no spaces, UTF-8, finite numbers only.

    >>> canonical_json({"b": [1, 2.5], "a": None})
    b'{"a":null,"b":[1,2.5]}'
    """
    return _JSON.encode(value).encode("utf-8", "surrogatepass")


def fingerprint(value: Any) -> str:
    """SHA-256 of canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def version_name(fingerprint_of_request: str) -> str:
    """What a version's folder is called: 64 bits are enough to tell the versions of one store apart."""
    return fingerprint_of_request[:16]


class FileDigest:
    """XXH3-128 of a file's bytes as they pass, part by part."""

    def __init__(self) -> None:
        self._state = xxhash.xxh3_128()

    def passing(self, part: T) -> T:
        """The same part, counted in."""
        self._state.update(part)  # type: ignore[arg-type]
        return part

    def digest(self) -> bytes:
        """Of all parts so far."""
        return self._state.digest()


def file_digest(*parts: Any) -> bytes:
    """XXH3-128 of a file's bytes, in one piece or several."""
    whole = FileDigest()
    for part in parts:
        whole.passing(part)
    return whole.digest()


def digest_in_pieces(path: str | os.PathLike[str]) -> tuple[int, bytes]:
    """Length of a file and the `file_digest` of its bytes, which pass through little memory."""
    state, piece, nbytes = FileDigest(), memoryview(bytearray(1 << 18)), 0
    with open(path, "rb", buffering=0) as file:
        while found := file.readinto(piece):
            state.passing(piece[:found])
            nbytes += found
    return nbytes, state.digest()


def row_digest(data: Any) -> bytes:
    """XXH3-64 of one row's packed bytes; computed on every strict read."""
    return xxhash.xxh3_64_digest(data)


def picture_fingerprint(data: bytes) -> bytes:
    """SHA-256 of a picture file: 32 bytes that stand for the file wherever it lies."""
    return hashlib.sha256(data).digest()


def outline_fingerprint(polygons: PolygonSet) -> bytes:
    """SHA-256 of what is drawn: points, grouping, ignore flags and frame, each with its length; not the texts."""
    state = hashlib.sha256(canonical_json([polygons.frame, len(polygons), len(polygons.points)]))
    state.update(np.ascontiguousarray(polygons.points, dtype="<f8").tobytes())
    state.update(np.ascontiguousarray(polygons.offsets, dtype="<i8").tobytes())
    state.update(np.ascontiguousarray(polygons.ignore, dtype="u1").tobytes())
    return state.digest()


def annotation_fingerprint(polygons: PolygonSet, outlines: bytes | None = None) -> bytes:
    """SHA-256 of the whole annotation of a picture: outlines (or their known fingerprint) and texts."""
    outlines = outline_fingerprint(polygons) if outlines is None else outlines
    return hashlib.sha256(outlines + canonical_json(list(polygons.texts))).digest()


def request(spec: CanonicalSpec, maps: MapSpec, layout: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the bytes of every row, apart from its inputs, as plain data."""
    return {
        "algorithms": dict(ALGORITHMS),
        "render": {"shrink": spec.shrink, "enlarge": spec.enlarge, "fill": list(spec.fill), "decode": spec.decode},
        "maps": maps.identity(),
        "layout": {name: layout[name] for name in sorted(layout) if name != "rows_per_shard"},
    }


def row_fingerprint(request_digest: str, picture: bytes, outlines: bytes, transform: CanonicalTransform) -> bytes:
    """What one row's stored bytes follow from: rows with equal fingerprints are copied, not drawn again.

    The transform stands for the canvases and the scale rule, so a canvas added to a recipe rebuilds only the rows
    that move to it.
    """
    decided: Sequence[Any] = [request_digest, picture.hex(), outlines.hex(), transform.as_dict()]
    return hashlib.sha256(canonical_json(decided)).digest()
