"""From readings to a plan: every sample gets its identity, canvas and place, and the version gets its name.

The order of rows is that of (split, source, id), so it depends neither on the order of sources in a recipe nor on
where their files lie. Samples without a usable picture header have no place and are failures from the start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.canonical import CanonicalTransform, plan
from ocrmaps.errors import AnnotationError, Problem
from ocrmaps.geometry import Size
from ocrmaps.recipe import Recipe
from ocrmaps.store.format.identity import (
    FORMAT,
    canonical_json,
    fingerprint,
    request,
    row_fingerprint,
    version_name,
)
from ocrmaps.store.format.layout import SPLITS as SPLITS
from ocrmaps.store.format.layout import ShardKey
from ocrmaps.store.writing.inputs import InputPicture


@dataclass(frozen=True, kw_only=True)
class ReadSource:
    """One source of the recipe, read."""

    source: Source
    reading: Reading
    prints: tuple[tuple[bytes, bytes], ...]
    """Fingerprints of each sample: of its outlines, and of its whole annotation."""
    name: str = ""
    """As the recipe names it: empty when it does not, which keeps folder names out of the version's identity."""

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The picture file of each sample."""
        return tuple(self.source.pictures / sample.picture for sample in self.reading.samples)

    @property
    def label(self) -> str:
        return self.name or self.source.name or self.source.annotations.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """A sample with a place."""

    split: str
    source: str
    sample: Sample
    path: Path
    picture: InputPicture
    transform: CanonicalTransform
    annotation: bytes
    fingerprint: bytes
    canvas: int
    """Index into `Plan.canvases`."""
    position: int
    """Place in that canvas's arrays."""

    @property
    def name(self) -> str:
        return "/".join(part for part in (self.split, self.source, self.sample.id) if part)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.split, self.source, self.sample.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A sample, or a part of a source, that gets no row, and why; messages name no folders, which are not content."""

    split: str
    source: str
    sample: str
    """Id of the sample, empty where an annotation could not be read as one."""
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a build will do, before it does anything."""

    recipe: Recipe
    asked: Mapping[str, Any]
    """Hashed into the version's name; see the manifest."""
    canvases: tuple[Size, ...]
    positions: tuple[int, ...]
    rows: tuple[PlannedRow, ...]
    failures: tuple[Failure, ...]
    sources: tuple[ReadSource, ...]
    notes: tuple[str, ...] = ()
    """What a person should look at, though nothing is refused for it."""

    @property
    def fingerprint(self) -> str:
        return fingerprint({"format": FORMAT, **self.asked})

    @property
    def version(self) -> str:
        return version_name(self.fingerprint)

    @property
    def raw_bytes(self) -> int:
        """Bytes of all rows before packing: 6 a pixel."""
        return sum(6 * h * w * n for (h, w), n in zip(self.canvases, self.positions, strict=True))

    @cached_property
    def shards(self) -> dict[ShardKey, list[PlannedRow]]:
        """The rows of each shard, in order."""
        out: dict[ShardKey, list[PlannedRow]] = {}
        for row in self.rows:
            key = ShardKey(self.canvases[row.canvas], row.position // self.recipe.layout.rows_per_shard)
            out.setdefault(key, []).append(row)
        return out


def make_plan(recipe: Recipe, sources: Sequence[ReadSource], pictures: Mapping[Path, InputPicture | Problem]) -> Plan:
    """Place every sample; `pictures` has an entry for the picture file of each."""
    _refuse_collisions(sources)
    asked_of_rows = request(recipe.canonical, recipe.maps, recipe.identity()["layout"])
    digest = fingerprint(asked_of_rows)
    failures: list[Failure] = []
    ordered: list[tuple[tuple[int, str, str], ReadSource, Sample, Path, tuple[bytes, bytes]]] = []
    for read in sources:
        where = {"split": read.source.split, "source": read.name}
        failures += [
            Failure(**where, sample="", reason=p.kind, message=f"{p.loc}: {p.message}") for p in read.reading.problems
        ]
        rank = SPLITS.index(read.source.split)
        ordered += [
            ((rank, read.name, sample.id), read, sample, path, prints)
            for sample, path, prints in zip(read.reading.samples, read.paths, read.prints, strict=True)
        ]
    ordered.sort(key=lambda item: item[0])

    placed: list[tuple[ReadSource, Sample, Path, InputPicture, CanonicalTransform, bytes, bytes]] = []
    inputs = hashlib.sha256()
    for key, read, sample, path, (outlines, annotation) in ordered:
        picture = pictures[path]
        broken = isinstance(picture, Problem)
        inputs.update(canonical_json([*key, "" if broken else picture.sha.hex(), annotation.hex()]) + b"\n")  # type: ignore[union-attr]
        if isinstance(picture, Problem):
            failures.append(
                Failure(
                    split=read.source.split,
                    source=read.name,
                    sample=sample.id,
                    reason=picture.kind,
                    message=picture.message,
                )
            )
        else:
            transform = plan(picture.size, picture.orientation, recipe.canonical)
            placed.append((read, sample, path, picture, transform, outlines, annotation))

    for failure in failures:
        # They are in the ledger, so they must be in the name: a version's name decides all of its bytes.
        inputs.update(canonical_json([failure.split, failure.source, failure.sample, failure.message]) + b"\n")
    used = {item[4].canvas for item in placed}
    canvases = tuple(sorted(used))
    number = {canvas: i for i, canvas in enumerate(canvases)}
    positions = [0] * len(canvases)
    rows = []
    for read, sample, path, picture, transform, outlines, annotation in placed:
        canvas = number[transform.canvas]
        rows.append(
            PlannedRow(
                split=read.source.split,
                source=read.name,
                sample=sample,
                path=path,
                picture=picture,
                transform=transform,
                annotation=annotation,
                fingerprint=row_fingerprint(digest, picture.sha, outlines, transform),
                canvas=canvas,
                position=positions[canvas],
            )
        )
        positions[canvas] += 1
    return Plan(
        recipe=recipe,
        asked={
            "recipe": recipe.identity(),
            "algorithms": {**asked_of_rows["algorithms"], f"maps {recipe.maps.style}": recipe.maps.algorithm},
            "inputs": {"samples": len(ordered), "digest": inputs.hexdigest()},
        },
        canvases=canvases,
        positions=tuple(positions),
        rows=tuple(rows),
        failures=tuple(failures),
        sources=tuple(sources),
    )


def _refuse_collisions(sources: Sequence[ReadSource]) -> None:
    """Two samples of one split and source name with one id could not be told apart."""
    seen: dict[tuple[str, str, str], str] = {}
    problems = []
    for read in sources:
        for sample in read.reading.samples:
            key = (read.source.split, read.name, sample.id)
            if key in seen:
                problems.append(
                    Problem(
                        loc=sample.loc,
                        message=f"found picture {sample.id!r} a second time in split {key[0]!r}, first at {seen[key]}",
                        kind="duplicate-id",
                    )
                )
            seen.setdefault(key, sample.loc)
    if problems:
        raise AnnotationError(
            "different sources have samples with the same id",
            hint="give each [[sources]] of the recipe a `name` of its own",
            problems=problems,
        )
