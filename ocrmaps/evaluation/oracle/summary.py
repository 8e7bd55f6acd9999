"""The oracle's result for people and machines: JSON, table, overlays and the trade-off curve."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.annotations import Sample, Source
from ocrmaps.evaluation.oracle.chain import Chain
from ocrmaps.evaluation.oracle.judge import LEVEL, SPEC, OracleResult, PerfectPicture
from ocrmaps.evaluation.reasons import words
from ocrmaps.files import write_new
from ocrmaps.pagekit.pictures import Pixels, beside, overlay, png, see
from ocrmaps.pictures import decode

_HEIGHTS = (0.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 48.0, float("inf"))
_ASPECTS = (0.0, 1.5, 3.0, 6.0, 12.0, 24.0, float("inf"))


def buckets(result: OracleResult) -> list[dict[str, Any]]:
    """Recall at every threshold by text height, aspect, direction, EXIF orientation and canvas."""
    groups: list[tuple[str, str, npt.NDArray[np.bool_]]] = []
    for by, edges in (("height", _HEIGHTS), ("aspect", _ASPECTS)):
        values = result.column(by)
        for low, high in pairwise(edges):
            name = f"{low:g}-{high:g}" if np.isfinite(high) else f"{low:g}+"
            groups.append((by, name, (values >= low) & (values < high)))
    for by in ("direction", "orientation", "canvas"):
        values = result.column(by)
        groups += [(by, str(name), values == name) for name in sorted(set(values.tolist()), key=str)]
    groups.append(("style", result.chain.maps.style, np.ones(len(values), dtype=np.bool_)))
    found = {f"{t:g}": result.found(t) for t in SPEC.thresholds}
    return [
        {
            "by": by,
            "bucket": name,
            "truths": int(mask.sum()),
            "recall": {t: float(hits[mask].mean()) for t, hits in found.items()},
        }
        for by, name, mask in groups
        if mask.any()
    ]


def worst(result: OracleResult, number: int = 20) -> list[PerfectPicture]:
    """The pictures that lose most truths; pictures without loss are left out."""
    ranked = sorted((p for p in result.pictures if len(p.lost)), key=lambda p: (-len(p.lost), p.result.picture))
    return ranked[:number]


def as_json(result: OracleResult) -> dict[str, Any]:
    """The contract: hmean by threshold, pixels per picture, buckets; and what explains them."""
    totals = result.totals[LEVEL]
    return {
        **{
            part: {f"{t:g}": getattr(counts, part) for t, counts in result.totals.items()}
            for part in ("hmean", "recall", "precision")
        },
        "mpx_per_image": result.mpx_per_image,
        "content_mpx_per_image": result.content_mpx_per_image,
        "buckets": buckets(result),
        "pictures": len(result.pictures),
        "truths": {"scored": totals.truth_care, "ignored": totals.truth_ignored, "invalid": totals.truth_invalid},
        "lost": result.reasons(),
        "kernels": result.kernel_shares(),
        "chain": describe(result.chain),
        "worst": [
            {"sample": p.result.picture, "lost": len(p.lost), "truths": int(p.result.match.truth_care.sum())}
            for p in worst(result)
        ],
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
        lines += ["", f"lost at IoU {LEVEL:g}"] + [f"{n:7d}  {words(reason)}" for reason, n in record["lost"].items()]
    lines += ["", "group        bucket        truths   0.5     0.7     0.9"]
    lines += [
        f"{b['by']:12s} {b['bucket']:12s} {b['truths']:7d}  " + "  ".join(f"{v:.4f}" for v in b["recall"].values())
        for b in record["buckets"]
    ]
    return "\n".join(lines)


def picture_of(source: Source, sample: Sample, picture: PerfectPicture, chain: Chain) -> Pixels:
    """The canonical picture twice: its truths with the lost ones marked, and what perfect maps gave."""
    seen = see(decode(source.pictures / sample.picture), "canonical", chain.canonical)
    truth, detections = picture.result.truth, picture.result.detections
    left = overlay(seen, seen.transform.apply(truth, "canonical"), picked=set(picture.lost.tolist()))
    right = overlay(seen, seen.transform.apply(detections, "canonical"))
    return beside(left, right, height=seen.pixels.shape[0])


def write_overlays(source: Source, samples: Sequence[Sample], result: OracleResult, folder: Path) -> int:
    """One PNG for each of the worst 20 pictures, named by rank; how many were written."""
    by_id = {sample.id: sample for sample in samples}
    pictures = worst(result)
    for rank, picture in enumerate(pictures, start=1):
        id = picture.result.picture
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in id)
        pixels = picture_of(source, by_id[id], picture, result.chain)
        out = folder / f"{rank:02d}_{len(picture.lost)}_lost_{name}.png"
        write_new(out, png(pixels), replace_existing=True)
    return len(pictures)
