"""The oracle's result for people and machines: JSON, table, overlays and the trade-off curve."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.annotations import Sample, Source
from ocrmaps.evaluation.oracle.judge import Chain, OracleResult, Verdict, perfect_detections
from ocrmaps.pagekit.pictures import Pixels, beside, overlay, png, see
from ocrmaps.pictures import Header, decode

_HEIGHTS = (0.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 48.0, float("inf"))
_ASPECTS = (0.0, 1.5, 3.0, 6.0, 12.0, 24.0, float("inf"))


def buckets(result: OracleResult) -> list[dict[str, Any]]:
    """Recall at every threshold by text height, aspect, direction, EXIF orientation and canvas."""
    orientation = np.concatenate([np.full(len(v.index), v.transform.orientation) for v in result.verdicts])
    canvas = np.concatenate(
        [np.full(len(v.index), "{}x{}".format(*v.transform.canvas), dtype=object) for v in result.verdicts]
    )
    found = {t: np.concatenate([v.found[t] for v in result.verdicts]) for t in result.thresholds}
    groups: list[tuple[str, str, npt.NDArray[np.bool_]]] = []
    for by, values, edges in (
        ("height", result.column("height"), _HEIGHTS),
        ("aspect", result.column("aspect"), _ASPECTS),
    ):
        for low, high in pairwise(edges):
            groups.append(
                (by, f"{low:g}-{high:g}" if np.isfinite(high) else f"{low:g}+", (values >= low) & (values < high))
            )
    for by, names in (("direction", result.column("direction")), ("orientation", orientation), ("canvas", canvas)):
        groups += [(by, str(name), names == name) for name in sorted(set(names.tolist()), key=str)]
    groups.append(("style", result.chain.maps.style, np.ones(len(orientation), dtype=np.bool_)))
    return [
        {
            "by": by,
            "bucket": name,
            "truths": int(mask.sum()),
            "recall": {f"{t:g}": float(found[t][mask].mean()) for t in result.thresholds},
        }
        for by, name, mask in groups
        if mask.any()
    ]


def worst(result: OracleResult, number: int = 20) -> list[tuple[Verdict, int]]:
    """The pictures that lose most truths at IoU 0.5, each with its losses; pictures without loss are left out."""
    losses = [(v, int((~v.found[0.5]).sum())) for v in result.verdicts]
    ranked = sorted((pair for pair in losses if pair[1]), key=lambda pair: (-pair[1], pair[0].sample))
    return ranked[:number]


def as_json(result: OracleResult) -> dict[str, Any]:
    """The contract: hmean by threshold, pixels per picture, buckets; and what explains them."""
    totals = result.totals[0.5]
    return {
        "hmean": {f"{t:g}": result.hmean[t] for t in result.thresholds},
        "recall": {f"{t:g}": result.totals[t].recall for t in result.thresholds},
        "precision": {f"{t:g}": result.totals[t].precision for t in result.thresholds},
        "mpx_per_image": result.mpx_per_image,
        "content_mpx_per_image": result.content_mpx_per_image,
        "buckets": buckets(result),
        "pictures": len(result.verdicts),
        "truths": {"scored": totals.truth_care, "ignored": totals.truth_ignored, "invalid": totals.truth_invalid},
        "lost": result.reasons(),
        "kernels": result.kernel_shares(),
        "chain": describe(result.chain),
        "worst": [{"sample": v.sample, "lost": n, "truths": len(v.index)} for v, n in worst(result)],
    }


def describe(chain: Chain) -> dict[str, Any]:
    """The settings that made a score, in plain values."""
    return {
        "canvases": [f"{h}x{w}" for h, w in chain.canonical.canvases],
        "scale": chain.canonical.scale,
        "side": chain.canonical.side,
        "style": chain.maps.style,
        "shrink_ratio": chain.maps.shrink_ratio,
        "min_side": chain.maps.min_side,
        "shape": chain.extract.shape,
        "max_candidates": chain.extract.max_candidates,
        "unclip": chain.extract.unclip,
    }


def table(result: OracleResult) -> str:
    """The result for people."""
    record = as_json(result)
    lines = [
        f"{record['pictures']} pictures, {record['truths']['scored']} scored polygons, "
        f"{record['truths']['ignored']} ignored, {record['truths']['invalid']} invalid; "
        f"{record['mpx_per_image']:.3f} Mpx per picture ({record['content_mpx_per_image']:.3f} covered)",
        f"{record['chain']['style']} maps, r = {record['chain']['shrink_ratio']:g}, "
        f"extracted as {record['chain']['shape']}",
        "",
        "IoU      hmean   recall  precision",
    ]
    lines += [
        f"{t}  {record['hmean'][t]:9.4f} {record['recall'][t]:8.4f} {record['precision'][t]:10.4f}"
        for t in record["hmean"]
    ]
    kernels = record["kernels"]
    lines.append(f"kernels under 2 px: {kernels['under_2px']:.1%}, under 3 px: {kernels['under_3px']:.1%}")
    if record["lost"]:
        lines += ["", "lost at IoU 0.5"] + [f"{n:7d}  {reason}" for reason, n in record["lost"].items()]
    lines += ["", "group        bucket        truths   0.5     0.7     0.9"]
    lines += [
        f"{b['by']:12s} {b['bucket']:12s} {b['truths']:7d}  " + "  ".join(f"{v:.4f}" for v in b["recall"].values())
        for b in record["buckets"]
    ]
    return "\n".join(lines)


def picture_of(source: Source, sample: Sample, head: Header, verdict: Verdict, chain: Chain) -> Pixels:
    """The canonical picture twice: its truths with the lost ones marked, and what perfect maps gave."""
    seen = see(decode(source.pictures / sample.picture), "canonical", chain.canonical)
    _, detections, _ = perfect_detections(sample, head, chain)
    lost = set(verdict.index[~verdict.found[0.5]].tolist())
    truth = overlay(seen, seen.transform.apply(sample.polygons, "canonical"), picked=lost)
    found = overlay(seen, seen.transform.apply(detections, "canonical"))
    return beside(truth, found, height=seen.pixels.shape[0])


def worst_pictures(
    source: Source, samples: Sequence[Sample], heads: Sequence[Header], result: OracleResult, number: int = 20
) -> list[tuple[Verdict, int, Pixels]]:
    """The pictures that lose most, with their overlays."""
    by_id = {sample.id: (sample, head) for sample, head in zip(samples, heads, strict=True)}
    return [
        (verdict, lost, picture_of(source, *by_id[verdict.sample], verdict, result.chain))
        for verdict, lost in worst(result, number)
    ]


def write_overlays(
    source: Source, samples: Sequence[Sample], heads: Sequence[Header], result: OracleResult, folder: Path
) -> int:
    """One PNG for each of the worst 20 pictures, named by rank; how many were written."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = worst_pictures(source, samples, heads, result)
    for rank, (verdict, lost, pixels) in enumerate(pictures, start=1):
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in verdict.sample)
        (folder / f"{rank:02d}_{lost}_lost_{name}.png").write_bytes(png(pixels))
    return len(pictures)
