"""`ocrmaps oracle`: scores perfect maps of a source, and writes its page and the overlays of its worst pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ocrmaps.annotations.samples import headers, open_samples
from ocrmaps.errors import SpecError
from ocrmaps.evaluation.oracle.chain import Chain, fitting_shape
from ocrmaps.evaluation.oracle.judge import OracleResult, run_oracle
from ocrmaps.evaluation.oracle.summary import write_overlays
from ocrmaps.extract.spec import Shape
from ocrmaps.geometry import Frame
from ocrmaps.recipe import load_recipe
from ocrmaps.report.oracle import oracle_page
from ocrmaps.report.samples import PageRequest, Stage, Written, silent
from ocrmaps.store.far.source import bring_source


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleReport:
    """The score of perfect maps, and what was written about it."""

    result: OracleResult
    page: Written | None
    overlays: int | None
    """Pictures written; None where none were asked for."""


def oracle(
    path: Path,
    chain: Chain,
    *,
    shape: Shape | None = None,
    format: str | None = None,
    pictures: Path | None = None,
    frame: Frame = "upright",
    sample: int | None = None,
    page: PageRequest | None = None,
    overlays: Path | None = None,
    workers: int | None = None,
    stage: Stage = silent,
) -> OracleReport:
    """Judge the perfect maps of a source; without a shape, extraction fits what the outlines need."""
    if page is not None:
        page.check()
    path, pictures = bring_source(path, pictures)
    source, samples = open_samples(path, format=format, pictures=pictures, frame=frame, number=sample)
    heads = headers(source, samples, workers=workers)
    chain = chain.with_shape(shape or fitting_shape(samples))
    with stage("judging perfect maps") as progress:
        result = run_oracle(samples, heads, chain, workers=workers, progress=progress)
    return OracleReport(
        result=result,
        overlays=None if overlays is None else write_overlays(source, samples, result, overlays),
        page=None if page is None else oracle_page(source, samples, heads, result, page),
    )


def chain_of(*, longest: int | None, recipe: Path | None, published: bool, shrink_ratio: float | None) -> Chain:
    """The chain that the command line asks for; contradictions are refused."""
    if recipe is not None:
        if longest is not None or published or shrink_ratio is not None:
            raise SpecError("--recipe already says everything: drop --longest, --chain and --shrink-ratio")
        asked = load_recipe(recipe)
        return Chain.of(asked.canonical, asked.maps)
    if published:
        if shrink_ratio is not None:
            raise SpecError("--shrink-ratio belongs to exact maps; the published chain has r = 0.4")
        return Chain.published(longest or 640)
    return Chain.longest(longest or 640, shrink_ratio=shrink_ratio)
