"""One shard, one task: draw or copy its rows, pack them, prove them, write its files whole and once, give a receipt.

A task is a pure function of its record: run twice, anywhere, in any order, it writes the same bytes under another
temporary name and renames them over themselves. A picture that cannot be drawn is data: the row says why.
Memory: one picture with its maps, plus the packed rows of one shard (`memory_bound`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ocrmaps import members
from ocrmaps.canonical import CanonicalSpec, CanonicalTransform, needed_resolution, render
from ocrmaps.errors import DataError, StoreCorrupt, StoreError, reason
from ocrmaps.geometry import PolygonSet
from ocrmaps.maps import DRAWN, Maps, MapSpec, Outcome, draw_maps
from ocrmaps.pictures import decode
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.format.codecs import packing
from ocrmaps.store.format.identity import (
    ROW_DIGEST,
    FileDigest,
    digest_in_pieces,
    file_digest,
    fingerprint,
    picture_fingerprint,
    row_digest,
)
from ocrmaps.store.format.layout import ShardKey
from ocrmaps.store.format.shards import ABSENT, assemble
from ocrmaps.store.places import posix as disk
from ocrmaps.store.places.objects import read_object
from ocrmaps.store.places.patience import LOOKS
from ocrmaps.store.places.urls import bucket_and_key
from ocrmaps.store.writing.provenance import UNKNOWN, identity
from ocrmaps.store.writing.team import Team
from ocrmaps.tiff import Inside, read_picture

Row = dict[str, npt.NDArray[np.uint8]]
"""The four arrays of one row, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRow:
    """A row that another version holds already: its packed bytes and what is known about them."""

    files: tuple[str, ...]
    """One shard file per array."""
    places: tuple[int, ...]
    """Offset and length, array after array."""
    digests: str
    """The digest of each array, in hexadecimal digits, one after the other."""
    outcomes: bytes
    """Per polygon, an index into `OUTCOMES`."""
    by: tuple[str, ...] = (UNKNOWN,)
    """Names of the identities that drew the shard it comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTask:
    """One sample and its place in the shard."""

    slot: int
    name: str
    """How messages call the sample: split, source and id."""
    picture: str
    """A file, or the URL of an object."""
    inside: Inside | members.TableRow | None = None
    """Where the picture lies in the object, if not the whole of it is the picture."""
    picture_sha: str
    fingerprint: str
    polygons: PolygonSet
    transform: CanonicalTransform
    copy: CopyRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """Everything that one shard follows from, and where it goes."""

    key: ShardKey
    rows: tuple[RowTask, ...]
    rows_per_shard: int
    canonical: CanonicalSpec
    maps: MapSpec
    codecs: Mapping[str, str]
    tree: str
    """The staging tree; it must exist, so a late task cannot bring it back."""
    temporary: str
    """The folder for unfinished files, beside the tree and on its file system."""
    linked: tuple[tuple[str, str], ...] = ()
    """Files of an older version with exactly these rows and their digests, one per array; empty to assemble anew."""

    @property
    def asked(self) -> str:
        """The fingerprint of the rows: a receipt answers this task only if it names the same."""
        return fingerprint([_RECEIPT, str(self.key), [[r.slot, r.fingerprint] for r in self.rows]])


_RECEIPT = 2
"""Raised when receipts say the same in another way: those of an interrupted build are then not understood."""
OUTCOMES: tuple[str, ...] = tuple(str(outcome) for outcome in Outcome)
"""Names of the codes in the `outcome` column; the manifest lists them, so later ones may be added."""
CODES: dict[str, int] = {outcome: code for code, outcome in enumerate(OUTCOMES)}


def build_shard(task: ShardTask, stop: threading.Event | None = None, team: Team | None = None) -> dict[str, Any]:
    """Build one shard, alone or in a team; returns its receipt as plain data, a few hundred bytes a row."""
    start = time.perf_counter()
    receipt = _link(task) if task.linked else None
    if receipt is None:
        receipt = _assemble(task, stop, team or Team())
    receipt["seconds"] = round(time.perf_counter() - start, 4)
    receipt["drawn_by"] = identity()
    return receipt


def draw_row(data: bytes, row: RowTask, canonical: CanonicalSpec, maps: MapSpec) -> tuple[Row, Maps]:
    """The four arrays of one sample from its picture's bytes: the only place where a stored row comes from."""
    wanted = needed_resolution(row.transform) if canonical.decode == "reduced" else None
    picture = decode(data, name=row.name, at_least=wanted)
    image = render(picture, row.transform, canonical)
    drawn = draw_maps(row.transform.apply(row.polygons, "canonical"), maps, row.transform.canvas)
    mask = drawn.mask
    return {"image": image, "probability": drawn.probability, "threshold": drawn.quantized, "mask": mask}, drawn


def _assemble(task: ShardTask, stop: threading.Event | None, team: Team) -> dict[str, Any]:
    """Draw or copy the rows of a shard and write its files."""
    made: dict[int, _Made] = {}

    def make(row: RowTask) -> None:
        if stop is not None and stop.is_set():
            raise StoreError(f"{task.key}: stopped on request")
        made[row.slot] = _row(row, task)

    team.share(task.rows, make)
    unfinished, files = _write(task, made)
    with team.waiting():
        # All four are on the disk before any gets its name. The names themselves are made durable at commit: until then
        # a lost one is noticed, because a receipt is believed only with its files.
        disk.sync(unfinished)
    for array, path in zip(ARRAYS, unfinished, strict=True):
        disk.rename(path, Path(task.tree) / task.key.path(array))
    rows = [made[row.slot].told for row in task.rows]
    return {"shard": str(task.key), "asked": task.asked, "files": files, "rows": rows}


class _Made(NamedTuple):
    """A row of a shard that is being built."""

    told: dict[str, Any]
    """What the receipt says of it."""
    packed: list[bytes]
    """One per array; emptied when they are written, none where the row failed."""


def _row(row: RowTask, task: ShardTask) -> _Made:
    if row.copy is not None:
        copied = _copied(row.copy)
        if copied is not None:
            return _Made(_known(row, row.copy, "copied"), copied)
    try:
        data = _input(row)
        arrays, drawn = draw_row(data, row, task.canonical, task.maps)
    except DataError as error:
        return _Made({"slot": row.slot, "how": "failed", "reason": "bad-picture", "message": str(error)}, [])
    packed = [_proven(arrays[array], task.codecs[array], f"{row.name}, {array}") for array in ARRAYS]
    told = {
        "slot": row.slot,
        "how": "drawn",
        "outcomes": bytes(map(CODES.__getitem__, drawn.outcomes)).hex(),
        "digests": "".join(row_digest(data).hex() for data in packed),
    }
    return _Made(told, packed)


def _input(row: RowTask) -> bytes:
    """The picture's bytes, which must still be those that the version is named after."""
    far = bucket_and_key(row.picture)
    for _ in range(1 if far is None else LOOKS):  # a connection may have changed bytes
        try:
            data = read_picture(row.picture) if far is None else _fetched(row, *far)
        except OSError as error:
            # It could be read when the version got its name: the fault is the disk's or the network's.
            raise StoreError(
                f"{row.name}: {row.picture} can no longer be read ({reason(error)})",
                hint="the same command resumes the build",
            ) from error
        if picture_fingerprint(data).hex() == row.picture_sha:
            return data
    raise StoreError(
        f"{row.name}: {row.picture} changed while the version was being built",
        hint="build again: the new picture gets its own version (--rehash if its time stamp did not change)",
    )


def _fetched(row: RowTask, bucket: str, key: str) -> bytes:
    """The picture's bytes from the place that has them."""
    if row.inside is None:
        return read_object(bucket, key)
    if isinstance(row.inside, members.TableRow):
        return members.read_far(row.picture, row.inside, _piece)
    return row.inside.of(read_object(bucket, key, row.inside.nbytes, start=row.inside.start))


def _piece(url: str, start: int, nbytes: int) -> bytes:
    far = bucket_and_key(url)
    assert far is not None
    return read_object(*far, nbytes, start=start)


def _proven(array: npt.NDArray[np.uint8], codec: str, where: str) -> bytes:
    """Packed bytes that have been unpacked again and compared: compressors have had bugs."""
    chosen, array = packing(codec), np.ascontiguousarray(array)
    data = chosen.encode(array)
    back = _spare(array.nbytes).reshape(array.shape)
    chosen.decode(data, back)
    if not _same(back, array):
        raise StoreCorrupt(
            f"{where}: what {codec} packed does not unpack to the same values",
            hint="test this machine's memory; then choose another codec in [layout] and report the picture",
        )
    return data


_own = threading.local()


def _spare(nbytes: int) -> npt.NDArray[np.uint8]:
    """Memory of this thread's own: fresh memory costs more than what is done in it."""
    spare: npt.NDArray[np.uint8] = getattr(_own, "spare", _NO_BYTES)
    if len(spare) < nbytes:
        spare = _own.spare = np.empty(nbytes, dtype=np.uint8)
    return spare[:nbytes]


_NO_BYTES = np.empty(0, dtype=np.uint8)


def _same(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """Whether all bytes are equal, eight at a time where they come in eights."""
    width = np.uint64 if one.nbytes % 8 == 0 else np.uint8
    return np.array_equal(one.reshape(-1).view(width), other.reshape(-1).view(width))


def _copied(copy: CopyRow) -> list[bytes] | None:
    """The packed bytes of a known row, or None where they are no longer what they were: then it is drawn again."""
    out = []
    for number, file in enumerate(copy.files):
        offset, nbytes = copy.places[2 * number : 2 * number + 2]
        digest = copy.digests[2 * ROW_DIGEST * number : 2 * ROW_DIGEST * (number + 1)]
        try:
            with open(file, "rb", buffering=0) as handle:
                data = os.pread(handle.fileno(), nbytes, offset)
        except OSError:
            return None
        if row_digest(data).hex() != digest:
            return None
        out.append(data)
    return out


def _write(task: ShardTask, made: Mapping[int, _Made]) -> tuple[list[Path], dict[str, list[Any]]]:
    """Write the files of a shard under temporary names; returns these, and what the receipt says of each file.

    Afterwards the packed rows are gone, and what is told of each row has its places.
    """
    unfinished, files = [], {}
    for row in made.values():
        row.told["places"] = []
    for number, array in enumerate(ARRAYS):
        rows = [made[i].packed[number] if i in made and made[i].packed else None for i in range(task.rows_per_shard)]
        parts, index = assemble(rows, task.rows_per_shard)
        proof = FileDigest()
        unfinished.append(disk.temporary_name(Path(task.temporary), array))
        # Each part is proven just before it is written: one of the two finds it in the processor's cache.
        nbytes = disk.write_new(unfinished[-1], map(proof.passing, parts), durable=False)
        files[array] = [nbytes, proof.digest().hex()]
        for slot, (offset, length) in enumerate(index.tolist()):
            if offset != ABSENT:
                made[slot].told["places"] += [offset, length]
    for row in made.values():
        row.packed.clear()
    return unfinished, files


def _link(task: ShardTask) -> dict[str, Any] | None:
    """Give an older version's files a second name; None where a file is no longer what its version recorded."""
    files: dict[str, Any] = {}
    for array, (source, digest) in zip(ARRAYS, task.linked, strict=True):
        try:
            nbytes, found = digest_in_pieces(source)
        except OSError:
            return None
        if found.hex() != digest:
            return None
        path = Path(task.tree) / task.key.path(array)
        unfinished = disk.temporary_name(Path(task.temporary), array)
        try:
            disk.link(Path(source), unfinished)
        except StoreError:
            # Another file system, or one without links: written like any other shard, whose errors are real ones.
            data = disk.read(Path(source))
            if file_digest(data).hex() != digest:
                return None
            disk.write_new(unfinished, [data])
        disk.rename(unfinished, path)
        files[array] = [nbytes, digest]
    return {"shard": str(task.key), "asked": task.asked, "files": files, "rows": [_linked(row) for row in task.rows]}


def _linked(row: RowTask) -> dict[str, Any]:
    assert row.copy is not None  # only shards of known rows are linked
    return {**_known(row, row.copy, "linked"), "places": list(row.copy.places)}


def _known(row: RowTask, copy: CopyRow, how: str) -> dict[str, Any]:
    """What the receipt says of a row that another version holds."""
    return {
        "slot": row.slot, "how": how, "outcomes": copy.outcomes.hex(), "by": list(copy.by), "digests": copy.digests,
    }  # fmt: skip


def memory_bound(canonical: CanonicalSpec, rows_per_shard: int, decoding: int) -> int:
    """Bytes that one worker can need for a shard: decoding the largest picture, drawing, and the packed rows.

    Rows are counted as if nothing compressed: real receipts need a fifth of that part.
    """
    canvas = max(h * w for h, w in canonical.canvases)
    # Per canvas pixel 6 stored bytes, twice for the proof, and float32 maps.
    return decoding + canvas * (6 * 2 + 16) + rows_per_shard * canvas * 6


def drawn_outcome(code: int) -> bool:
    """Whether a polygon with this code has a kernel in the probability map."""
    return Outcome(OUTCOMES[code]) in DRAWN
