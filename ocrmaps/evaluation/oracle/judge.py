"""Evaluates perfect maps: what a faultless network could reach with this recipe on these annotations.

Every polygon is drawn as its recipe draws it, the maps go through extraction as a prediction would, and the result
is judged as any prediction is, in the original frame. What is lost here is lost before training begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.annotations import Sample
from ocrmaps.canonical import CanonicalTransform, plan
from ocrmaps.errors import AnnotationError
from ocrmaps.evaluation import Evaluation, EvaluationSpec, PictureResult, evaluate, judge_picture
from ocrmaps.evaluation.measures import measure
from ocrmaps.evaluation.oracle.chain import Chain
from ocrmaps.evaluation.oracle.reasons import loss_reasons
from ocrmaps.evaluation.reasons import NO_LOSS
from ocrmaps.evaluation.records import Measures
from ocrmaps.extract import extract
from ocrmaps.geometry import FloatArray, PolygonSet
from ocrmaps.machine import cores
from ocrmaps.maps import Maps, draw_maps
from ocrmaps.metrics.iou import THRESHOLDS, IouCounts
from ocrmaps.pictures import Header
from ocrmaps.progress import Progress

SPEC = EvaluationSpec(thresholds=THRESHOLDS, protocols=("iou",), cuts=())
LEVEL = SPEC.iou
"""The IoU at which a text counts as lost."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerfectPicture:
    """One picture judged on its own maps, and how its truths look on the canvas."""

    result: PictureResult
    """The truths' reasons name the step that lost them."""
    transform: CanonicalTransform
    canonical: Measures
    """Of the truths on the canonical picture, where drawing and extraction work."""
    kernel: FloatArray
    """(truths): thickness of the kernel in canonical pixels; below 0 nothing can be drawn."""

    @property
    def lost(self) -> npt.NDArray[np.int64]:
        """The scored truths that are not found."""
        match = self.result.match
        return np.flatnonzero(match.truth_care & (match.layer(LEVEL) < 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleResult:
    """The evaluation of perfect maps."""

    chain: Chain
    evaluation: Evaluation
    pictures: tuple[PerfectPicture, ...]
    """In the order of the samples."""

    @property
    def totals(self) -> dict[float, IouCounts]:
        return dict(self.evaluation.totals)

    @property
    def hmean(self) -> dict[float, float]:
        return {t: counts.hmean for t, counts in self.totals.items()}

    @property
    def mpx_per_image(self) -> float:
        """Mean canvas area in million pixels: what a training step pays for."""
        return float(np.mean([p.transform.canvas[0] * p.transform.canvas[1] for p in self.pictures])) / 1e6

    @property
    def content_mpx_per_image(self) -> float:
        """Mean area that pictures cover on their canvases, in million pixels."""
        return float(np.mean([p.transform.resized[0] * p.transform.resized[1] for p in self.pictures])) / 1e6

    def column(self, name: str) -> npt.NDArray[Any]:
        """height, aspect or direction on the canvas, kernel, best_iou, orientation or canvas of each scored truth."""
        return np.concatenate([_column(picture, name)[picture.result.match.truth_care] for picture in self.pictures])

    def found(self, threshold: float) -> npt.NDArray[np.bool_]:
        """Whether each scored truth is found, in the order of `column`."""
        matches = [picture.result.match for picture in self.pictures]
        return np.concatenate([match.layer(threshold)[match.truth_care] >= 0 for match in matches])

    def reasons(self) -> dict[str, int]:
        """Why truths are not found, most frequent first."""
        told = Counter(r for picture in self.pictures for r in picture.result.text_reason if r not in NO_LOSS)
        return dict(sorted(told.items(), key=lambda item: (-item[1], item[0])))

    def kernel_shares(self) -> dict[str, float]:
        """Share of scored truths whose kernel is thinner than 2 and 3 pixels: such kernels learn slowly."""
        kernel = self.column("kernel")
        return {f"under_{t}px": float((kernel < t).mean()) if len(kernel) else 0.0 for t in (2, 3)}


def _column(picture: PerfectPicture, name: str) -> npt.NDArray[Any]:
    measures, count = picture.canonical, len(picture.kernel)
    if name == "direction":
        return np.array([measures.direction(i) for i in range(count)], dtype=object)
    if name == "orientation":
        return np.full(count, picture.transform.orientation)
    if name == "canvas":
        return np.full(count, "{}x{}".format(*picture.transform.canvas), dtype=object)
    if name == "best_iou":
        return picture.result.match.best_iou
    return np.asarray(picture.kernel if name == "kernel" else getattr(measures, name))


def run_oracle(
    samples: Sequence[Sample],
    heads: Sequence[Header],
    chain: Chain,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> OracleResult:
    """Draw, extract and judge every sample; pictures themselves are not decoded."""
    if not samples:
        raise AnnotationError("the source holds no samples: there is nothing to score")
    if len(samples) != len(heads):
        raise ValueError(f"{len(samples)} samples with {len(heads)} headers")
    pictures: list[PerfectPicture] = []
    with ThreadPoolExecutor(workers or cores()) as pool:
        for picture in pool.map(judge, samples, heads, repeat(chain)):
            pictures.append(picture)
            if progress is not None:
                progress(len(pictures), len(samples))
    evaluation = evaluate((p.result for p in pictures), [sample.id for sample in samples], spec=SPEC)
    return OracleResult(chain=chain, evaluation=evaluation, pictures=tuple(pictures))


def perfect_maps(sample: Sample, head: Header, chain: Chain) -> tuple[CanonicalTransform, PolygonSet, Maps]:
    """The transform, the sample's truths on the canvas, and the maps that a faultless network would answer with."""
    transform = plan(head.size, head.orientation, chain.canonical)
    truths = transform.apply(sample.polygons, "canonical")
    return transform, truths, draw_maps(truths, chain.maps, transform.canvas)


def judge(sample: Sample, head: Header, chain: Chain) -> PerfectPicture:
    """One picture's own maps, extracted and judged in the frame of its annotation."""
    transform, truths, maps = perfect_maps(sample, head, chain)
    found = extract(maps.probability.astype(np.float32), chain.extract)
    detections = transform.apply(found.polygons, sample.polygons.frame)
    result = judge_picture(sample.id, sample.polygons, detections, spec=SPEC, transform=transform)
    canonical = measure(truths)
    shrink = truths.areas() * (1 - chain.maps.shrink_ratio**2) / np.maximum(truths.perimeters(), 1e-9)
    return PerfectPicture(
        result=replace(result, text_reason=loss_reasons(result, truths, transform.canvas, maps, found.outcomes)),
        transform=transform,
        canonical=canonical,
        kernel=canonical.height - 2 * shrink,
    )
