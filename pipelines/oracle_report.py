"""The oracle's result for people and machines: JSON, table, overlays, page and the trade-off curve."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ocrmaps.annotations import Sample, Source
from ocrmaps.pictures import Header, decode
from ocrmaps.report import page as html
from ocrmaps.report import plots
from ocrmaps.report.pictures import COLOURS, Pixels, beside, jpeg, overlay, png, see, shrink
from pipelines.oracle import Chain, OracleResult, Verdict, perfect_detections

if TYPE_CHECKING:
    from pipelines.recommend import Recommendation

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
        "unclip": chain.extract.unclip,
    }


def table(result: OracleResult) -> str:
    """The result for people."""
    record = as_json(result)
    lines = [
        f"{record['pictures']} pictures, {record['truths']['scored']} scored polygons, "
        f"{record['truths']['ignored']} ignored, {record['truths']['invalid']} invalid; "
        f"{record['mpx_per_image']:.3f} Mpx per picture ({record['content_mpx_per_image']:.3f} covered)",
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


def write_page(
    source: Source, samples: Sequence[Sample], heads: Sequence[Header], result: OracleResult, path: Path
) -> None:
    """One self-contained page: the ceiling, where it is lost and why, and the worst pictures."""
    record = as_json(result)
    chain = record["chain"]
    sections = [
        html.Section(title="Where it is lost", body=tuple(_bucket_tables(record["buckets"]))),
        html.Section(
            title="Why it is lost",
            body=(
                plots.bars(list(record["lost"].items()), "Lost at IoU 0.5, by reason", unit="polygons"),
                html.paragraph("A reason is told from the shapes that overlap a lost polygon, on perfect maps."),
            ),
            mark=str(sum(record["lost"].values())),
        ),
        html.Section(
            title="What there is",
            body=(
                html.grid(
                    [
                        plots.histogram(result.column("height"), "Text height", unit="px", marks=(8, 12)),
                        plots.histogram(result.column("kernel"), "Kernel thickness", unit="px", marks=(2, 3)),
                        plots.histogram(result.column("aspect"), "Aspect", unit="length / height"),
                        plots.histogram(result.column("best_iou"), "Best IoU", unit="IoU", marks=(0.5, 0.7, 0.9)),
                    ]
                ),
            ),
        ),
    ]
    pictures = worst_pictures(source, samples, heads, result)
    if pictures:
        tiles = []
        for verdict, lost, pixels in pictures:
            small = shrink(pixels, 900)
            tiles.append(
                html.Tile(
                    data=jpeg(small),
                    width=small.shape[1],
                    height=small.shape[0],
                    title=verdict.sample,
                    remark=f"{lost} of {len(verdict.index)} lost; truths left, extracted right",
                )
            )
        body = (html.key([COLOURS[0], (COLOURS[2][0], "lost")]), html.gallery(tiles))
        sections.append(html.Section(title="Worst pictures", body=body, mark=str(len(tiles))))
    totals = record["truths"]
    top = [
        html.cards(
            [
                html.Card(
                    label=f"hmean at IoU {t}",
                    value=f"{value:.4f}",
                    remark=f"recall {record['recall'][t]:.4f}, precision {record['precision'][t]:.4f}",
                )
                for t, value in record["hmean"].items()
            ]
            + [
                html.Card(
                    label="price",
                    value=f"{record['mpx_per_image']:.3f} Mpx",
                    remark=f"a picture, {record['content_mpx_per_image']:.3f} covered",
                ),
                html.Card(
                    label="thin kernels",
                    value=f"{record['kernels']['under_3px']:.1%}",
                    remark="under 3 px: they learn slowly",
                    tone="note" if record["kernels"]["under_3px"] > 0.2 else "plain",
                ),
            ]
        )
    ]
    lead = (
        f"What a faultless network could reach on {source.name}: {record['pictures']} pictures, "
        f"{totals['scored']} scored polygons, {totals['ignored']} ignored, {totals['invalid']} invalid. "
        f"{chain['style']} maps with r = {chain['shrink_ratio']:g}, {chain['unclip']} unclip, "
        f"canvases {', '.join(chain['canvases'])}."
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html.page("Oracle", sections, lead=lead, top=top), encoding="utf-8")


def _bucket_tables(groups: Sequence[dict[str, Any]]) -> list[html.Html]:
    tables = []
    for by in dict.fromkeys(group["by"] for group in groups):
        mine = [group for group in groups if group["by"] == by]
        thresholds = list(mine[0]["recall"])
        rows = [(g["bucket"], g["truths"], *(f"{g['recall'][t]:.4f}" for t in thresholds)) for g in mine]
        head = (by, "polygons", *(f"recall at {t}" for t in thresholds))
        tables.append(html.table(head, rows, caption=f"Recall by {by}"))
    return tables


def plot_tradeoff(found: Recommendation, path: Path) -> None:
    """Oracle score against pixels for every candidate, the choice marked, as PNG or SVG by the file's ending."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    groups = sorted({(c.maps.style, c.maps.shrink_ratio) for c in found.candidates})
    for i, (style, ratio) in enumerate(groups):
        mine = sorted(
            (c for c in found.candidates if (c.maps.style, c.maps.shrink_ratio) == (style, ratio)), key=lambda c: c.mpx
        )
        for threshold, line in ((0.5, "-"), (0.7, "--")):
            axes.plot(
                [c.mpx for c in mine],
                [c.hmean[threshold] for c in mine],
                line,
                marker="os^Dv"[i % 5],
                color=f"C{i}",
                label=f"{style}, r = {ratio:g}, IoU {threshold:g}",
            )
    chosen = found.chosen
    axes.plot(chosen.mpx, chosen.hmean[0.5], marker="*", markersize=18, color="black", linestyle="", label="chosen")
    axes.axvline(found.budget_mpx, color="grey", linewidth=1)
    axes.annotate("budget", (found.budget_mpx, 0.02), xycoords=("data", "axes fraction"), ha="right", color="grey")
    axes.set_xlabel("million pixels per picture")
    axes.set_ylabel("oracle hmean")
    axes.set_title(f"What perfect maps score on {found.judged_on} pictures")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
