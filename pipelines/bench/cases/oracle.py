"""The ceilings of the project's chain and the published one on the same pictures, printed with the other figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ocrmaps.annotations import Sample
from ocrmaps.evaluation.oracle.chain import Chain
from ocrmaps.evaluation.oracle.judge import run_oracle
from ocrmaps.pictures import Header, read_header
from ocrmaps.pipelines import data
from ocrmaps.pipelines.bench.source import named, samples_of
from ocrmaps.pipelines.recommend import recommend
from ocrmaps.scratch import scratch

BUDGET = 0.30


def bench_oracle(source: Path | None = None) -> list[dict[str, Any]]:
    """Scores, not times: nothing is repeated, because the same input gives the same score."""
    with scratch("bench") as folder:
        samples, heads, what = _samples(source, folder)
        results = []
        for side in (640, 1024):
            for name, chain in (
                ("exact", Chain.longest(side)),
                ("exact_r04", Chain.longest(side, shrink_ratio=0.4)),
                ("published", Chain.published(side)),
            ):
                found = run_oracle(samples, heads, chain)
                results += [
                    _result(f"oracle/{name}_{side}_iou{round(t * 100)}", found.hmean[t], what, found.mpx_per_image)
                    for t in (0.5, 0.7, 0.9)
                ]
        chosen = recommend(samples, heads, budget_mpx=BUDGET).chosen
        results.append(
            _result(f"oracle/recommended_{BUDGET:.2f}_mpx_iou50", chosen.hmean[0.5], what, chosen.mpx)
            | {"side": chosen.canonical.side, "shrink_ratio": chosen.maps.shrink_ratio}
        )
    return results


def _samples(source: Path | None, folder: Path) -> tuple[list[Sample], list[Header], str]:
    if source is None:
        data.synth(folder / "receipts", format="ufo", num=60, seed=0)
    pairs = samples_of(source or folder / "receipts")
    samples = [sample for _, sample in pairs]
    return samples, [read_header(path) for path, _ in pairs], f"{len(samples)} pictures of {named(source)}"


def _result(name: str, hmean: float, what: str, mpx: float) -> dict[str, Any]:
    return {"name": name, "value": hmean, "unit": "hmean", "reference": what, "spread": 0.0, "mpx_per_image": mpx}
