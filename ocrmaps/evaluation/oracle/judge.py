"""The score of perfect maps: what a faultless network could reach with this recipe on these annotations.

Every polygon is drawn as its recipe draws it, the maps go through extraction as a prediction would, and the result
is matched in the original frame. What is lost here is lost before training begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from ocrmaps.annotations import Sample, Source, open_source, read
from ocrmaps.annotations.checks.frames import check_frame, require_frame
from ocrmaps.canonical import CanonicalSpec, CanonicalTransform, plan
from ocrmaps.errors import AnnotationError, DataError, OcrmapsError, Problem, SpecError
from ocrmaps.evaluation.oracle.reasons import reasons
from ocrmaps.extract import Extraction, ExtractSpec, extract
from ocrmaps.extract.records import Shape
from ocrmaps.geometry import Frame, PolygonSet
from ocrmaps.machine import cores
from ocrmaps.maps import Maps, MapSpec, draw_maps
from ocrmaps.metrics.iou import IouCounts, match_geometry
from ocrmaps.metrics.matching import pair_geometry
from ocrmaps.pictures import Header, read_header
from ocrmaps.progress import Progress
from ocrmaps.recipe import load_recipe

THRESHOLDS = (0.5, 0.7, 0.9)
BENT = 0.8
"""An outline of over four points that fills less of its smallest rectangle is bent: no box comes nearer than this."""
BENT_SHARE = 0.05
"""Over this share of bent outlines a source is read with polygons."""
"""(done, total), called from the main thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Everything between an annotation and its score."""

    canonical: CanonicalSpec
    maps: MapSpec
    extract: ExtractSpec

    @classmethod
    def longest(cls, side: int, *, shape: Shape = "boxes", **settings: Any) -> Chain:
        """The project's defaults at this longest side; `settings` are those of `MapSpec`."""
        return cls.of(CanonicalSpec.longest(side), MapSpec(**settings), shape)

    @classmethod
    def of(cls, canonical: CanonicalSpec, maps: MapSpec, shape: Shape = "boxes") -> Chain:
        """Maps with the extraction that inverts them."""
        return cls(
            canonical=canonical,
            maps=maps,
            extract=ExtractSpec(shape=shape, unclip="inverse", shrink_ratio=maps.shrink_ratio, kernel=maps.style),
        )

    @classmethod
    def published(cls, side: int, shape: Shape = "boxes") -> Chain:
        """The original implementation's maps (r = 0.4) and its own extraction, on a square canvas."""
        return cls(
            canonical=CanonicalSpec(canvases=((side, side),), scale="longest", side=side),
            maps=MapSpec(style="official", shrink_ratio=0.4),
            extract=ExtractSpec.peers(shape),
        )

    def with_shape(self, shape: Shape) -> Chain:
        """The same chain with rotated boxes or with polygons."""
        if self.extract.arithmetic == "published":
            return replace(self, extract=ExtractSpec.peers(shape))
        return replace(self, extract=replace(self.extract, shape=shape))


def bent_share(sets: Iterable[PolygonSet]) -> float:
    """Share of the scored outlines that are bent. Quads never are: who draws them expects boxes."""
    scored = bent = 0
    for polygons in sets:
        rows = np.flatnonzero(~polygons.ignore).tolist()
        scored += len(rows)
        rings = [shapely.Polygon(polygons[i]) for i in rows if len(polygons[i]) > 4]
        shapes = np.array([ring for ring in rings if ring.is_valid and ring.area > 0], dtype=object)
        bent += int((shapely.area(shapes) < BENT * shapely.area(shapely.oriented_envelope(shapes))).sum())
    return bent / max(scored, 1)


def fitting_shape(samples: Iterable[Sample]) -> Shape:
    """What these annotations need: polygons where over `BENT_SHARE` of the scored outlines are bent, else boxes."""
    return "polygons" if bent_share(sample.polygons for sample in samples) > BENT_SHARE else "boxes"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """What became of the scored truths of one picture."""

    sample: str
    transform: CanonicalTransform
    index: npt.NDArray[np.int64]
    """(k): position of each scored truth in the sample's polygon set."""
    height: npt.NDArray[np.float64]
    """(k): text height in canonical pixels (short side of the equivalent rectangle)."""
    aspect: npt.NDArray[np.float64]
    direction: tuple[str, ...]
    """(k): horizontal, vertical, slanted or square, on the canonical picture."""
    kernel: npt.NDArray[np.float64]
    """(k): thickness of the kernel in canonical pixels; below 0 nothing can be drawn."""
    best_iou: npt.NDArray[np.float64]
    found: dict[float, npt.NDArray[np.bool_]]
    """threshold -> (k)"""
    reason: tuple[str, ...]
    """(k): why a truth is not found at IoU 0.5; empty where it is found."""
    counts: dict[float, IouCounts]


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleResult:
    """The verdicts of all pictures, and their sums."""

    chain: Chain
    verdicts: tuple[Verdict, ...]
    thresholds: tuple[float, ...] = THRESHOLDS
    totals: dict[float, IouCounts] = field(default_factory=dict)

    @property
    def hmean(self) -> dict[float, float]:
        return {t: counts.hmean for t, counts in self.totals.items()}

    @property
    def mpx_per_image(self) -> float:
        """Mean canvas area in million pixels: what a training step pays for."""
        return float(np.mean([v.transform.canvas[0] * v.transform.canvas[1] for v in self.verdicts])) / 1e6

    @property
    def content_mpx_per_image(self) -> float:
        """Mean area that pictures cover on their canvases, in million pixels."""
        return float(np.mean([v.transform.resized[0] * v.transform.resized[1] for v in self.verdicts])) / 1e6

    def column(self, name: str) -> npt.NDArray[Any]:
        """One value per scored truth, all pictures in a row."""
        return np.concatenate([np.asarray(getattr(v, name)) for v in self.verdicts])

    def reasons(self) -> dict[str, int]:
        """Why truths are not found at IoU 0.5, most frequent first."""
        names, numbers = np.unique([r for v in self.verdicts for r in v.reason if r], return_counts=True)
        order = np.argsort(-numbers, kind="stable")
        return {str(names[i]): int(numbers[i]) for i in order}

    def kernel_shares(self) -> dict[str, float]:
        """Share of scored truths whose kernel is thinner than 2 and 3 pixels: such kernels learn slowly."""
        kernel = self.column("kernel")
        return {f"under_{t}px": float((kernel < t).mean()) if len(kernel) else 0.0 for t in (2, 3)}


def headers(source: Source, samples: Sequence[Sample], *, workers: int | None = None) -> list[Header]:
    """The header of every sample's picture. All that cannot be read are named at once, and a frame declaration that
    the pictures contradict is refused with the table that shows it."""

    def one(sample: Sample) -> Header | Problem:
        try:
            return read_header(source.pictures / sample.picture)
        except OcrmapsError as error:
            return Problem(loc=sample.loc, message=str(error), kind="picture")

    with ThreadPoolExecutor(workers or cores()) as pool:
        found = list(pool.map(one, samples))
    problems = [f for f in found if isinstance(f, Problem)]
    if problems:
        raise DataError(
            f"{len(problems)} of {len(samples)} pictures cannot be read",
            problems=problems,
            hint="ocrmaps data check SOURCE shows all of them; --pictures names another picture folder",
        )
    heads = [f for f in found if isinstance(f, Header)]
    by_id = {sample.id: head for sample, head in zip(samples, heads, strict=True)}
    require_frame(check_frame(samples, by_id, source.frame), source.name)
    return heads


def run_oracle(
    samples: Sequence[Sample],
    heads: Sequence[Header],
    chain: Chain,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> OracleResult:
    """Draw, extract and match every sample; pictures themselves are not decoded."""
    if not samples:
        raise AnnotationError("the source holds no samples: there is nothing to score")
    verdicts: list[Verdict] = []
    if len(samples) != len(heads):
        raise ValueError(f"{len(samples)} samples with {len(heads)} headers")
    with ThreadPoolExecutor(workers or cores()) as pool:
        for verdict in pool.map(judge, samples, heads, repeat(chain)):
            verdicts.append(verdict)
            if progress is not None:
                progress(len(verdicts), len(samples))
    totals = {t: sum((v.counts[t] for v in verdicts), IouCounts()) for t in THRESHOLDS}
    return OracleResult(chain=chain, verdicts=tuple(verdicts), totals=totals)


def perfect_extraction(sample: Sample, head: Header, chain: Chain) -> tuple[CanonicalTransform, Maps, Extraction]:
    """The transform, the sample's own maps, and what extraction finds in them, in canonical pixels."""
    transform = plan(head.size, head.orientation, chain.canonical)
    maps = draw_maps(transform.apply(sample.polygons, "canonical"), chain.maps, transform.canvas)
    return transform, maps, extract(maps.probability.astype(np.float32), chain.extract)


def perfect_detections(sample: Sample, head: Header, chain: Chain) -> tuple[CanonicalTransform, PolygonSet, Maps]:
    """The transform, what extraction finds in the sample's own maps (original frame), and those maps."""
    transform, maps, found = perfect_extraction(sample, head, chain)
    return transform, transform.apply(found.polygons, sample.polygons.frame), maps


def judge(sample: Sample, head: Header, chain: Chain) -> Verdict:
    """One picture's verdict."""
    transform, maps, extraction = perfect_extraction(sample, head, chain)
    geometry = pair_geometry(sample.polygons, transform.apply(extraction.polygons, sample.polygons.frame))
    match = match_geometry(geometry, thresholds=THRESHOLDS)
    index = np.flatnonzero(match.truth_care)
    truths = transform.apply(sample.polygons, "canonical")
    canonical = truths.select(index)
    sides = canonical.equivalent_sides()
    shrink = canonical.areas() * (1 - chain.maps.shrink_ratio**2) / np.maximum(canonical.perimeters(), 1e-9)
    found = {t: match.layer(t)[index] >= 0 for t in THRESHOLDS}
    lost = index[~found[0.5]]
    why = reasons(geometry, lost, match.best_iou, truths, transform.canvas, maps.outcomes, extraction.outcomes)
    told = dict(zip(lost.tolist(), why, strict=True))
    return Verdict(
        sample=sample.id,
        transform=transform,
        index=index,
        height=sides[:, 0],
        aspect=sides[:, 1] / np.maximum(sides[:, 0], 1e-9),
        direction=tuple(_direction(p, s) for p, s in zip(canonical, sides, strict=True)),
        kernel=sides[:, 0] - 2 * shrink,
        best_iou=match.best_iou[index],
        found=found,
        reason=tuple(told.get(i, "") for i in index.tolist()),
        counts={t: match.counts(t) for t in THRESHOLDS},
    )


def _direction(points: npt.NDArray[np.float64], sides: npt.NDArray[np.float64]) -> str:
    """Where a polygon's long axis points, from the spread of its vertices."""
    if sides[1] < 1.3 * sides[0]:
        return "square"
    centred = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    dx, dy = np.abs(vectors[:, 1])
    degrees = float(np.degrees(np.arctan2(dy, dx)))
    return "horizontal" if degrees < 15 else "vertical" if degrees > 75 else "slanted"


def subset(items: Iterable[Any], number: int | None, seed: int = 0) -> list[Any]:
    """At most `number` items, evenly drawn without replacement in their order."""
    items = list(items)
    if number is None or number >= len(items):
        return items
    keep = np.sort(np.random.default_rng(seed).choice(len(items), number, replace=False))
    return [items[i] for i in keep]


def open_samples(
    path: Path, *, format: str | None, pictures: Path | None, frame: Frame, number: int | None = None
) -> tuple[Source, list[Sample]]:
    """The source at this path and its samples, all or an even draw; anything that does not parse is refused."""
    source = open_source(path, format=format, pictures=pictures, frame=frame)
    samples = subset(read(source), number)
    if not samples:
        raise AnnotationError(f"{source.annotations}: the source holds no samples")
    return source, samples


def chain_from(
    *, longest: int | None, recipe: Path | None, published: bool, shrink_ratio: float | None, shape: Shape = "boxes"
) -> Chain:
    """The chain that the command line asks for; contradictions are refused."""
    if recipe is not None:
        if longest is not None or published or shrink_ratio is not None:
            raise SpecError("--recipe already says everything: drop --longest, --chain and --shrink-ratio")
        asked = load_recipe(recipe)
        return Chain.of(asked.canonical, asked.maps, shape)
    if published:
        if shrink_ratio is not None:
            raise SpecError("--shrink-ratio belongs to exact maps; the published chain has r = 0.4")
        return Chain.published(longest or 640, shape)
    settings = {} if shrink_ratio is None else {"shrink_ratio": shrink_ratio}
    return Chain.longest(longest or 640, shape=shape, **settings)
